package login_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// readFor reads for so long that requests ask for many logins, and returns the last error.
func (w *testbed) readFor(t *testing.T, d time.Duration) (err error) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < d; time.Sleep(100 * time.Millisecond) {
		err = w.read(t)
	}
	return err
}

// TestAWrongSecretIDIsSentOnce: Vault locks a role for 15 minutes after five logins with a
// wrong secret id, of all replicas together. So neither requests nor the renewal of the token
// send it again, or once if it is new.
func TestAWrongSecretIDIsSentOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startTestbed(t, &tokenServer{TTL: time.Hour}, nil)
		if err := w.read(t); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		w.set(func() { clear(w.tokens); w.secretID = secretID + "-2" })
		logins := w.count("auth/approle/login")
		err := w.readFor(t, 15*time.Minute)
		wantReason(t, err, login.Rejected)
		if err == nil || !strings.Contains(err.Error(), "put a new secret id into secret_id_file; the same one is sent again after 20 minutes only") {
			t.Errorf("read = %v, want it to say what to do, and that the secret id is not sent again soon", err)
		}
		if got := w.count("auth/approle/login") - logins; got != 1 {
			t.Errorf("%d logins with the wrong secret id in 15 minutes, want 1", got)
		}
		if life := w.session.Life(); life.FailedLogins < 10 || !strings.Contains(life.Trouble, "secret_id_file") {
			t.Errorf("Life() = %+v, want failing logins, for the alert", life)
		}

		writeFile(t, w.file, secretID+"-3\n")
		if err := w.readFor(t, time.Minute); err == nil {
			t.Error("with another wrong secret id: nil, want an error")
		}
		if got := w.count("auth/approle/login") - logins; got != 3 {
			t.Errorf("%d logins with an old wrong secret id and a new one, want 1 and 2", got)
		}

		writeFile(t, w.file, secretID+"-2\n")
		if err := w.readFor(t, 2*time.Second); err != nil {
			t.Errorf("with the new secret id: %v", err)
		}
	})
}

// TestASecretIDThatTheServerTakesAgainIsFound: it may be corrected on the server, too.
func TestASecretIDThatTheServerTakesAgainIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startTestbed(t, &tokenServer{TTL: time.Hour}, nil)
		if err := w.read(t); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		right := w.secretID
		w.set(func() { clear(w.tokens); w.secretID = secretID + "-2" })
		if err := w.read(t); err == nil {
			t.Fatal("with the wrong secret id: nil, want an error")
		}
		w.set(func() { w.secretID = right })
		time.Sleep(21 * time.Minute)
		if err := w.read(t); err != nil {
			t.Errorf("21 minutes later: %v", err)
		}
	})
}

// TestANewSecretIDMayReachTheServerALittleLater: a standby of OpenBao calls one wrong that the
// active node has just made.
func TestANewSecretIDMayReachTheServerALittleLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startTestbed(t, &tokenServer{TTL: time.Hour}, nil)
		if err := w.read(t); err != nil {
			t.Fatal(err)
		}
		w.set(func() { clear(w.tokens) })
		logins := w.count("auth/approle/login")
		writeFile(t, w.file, secretID+"-2\n")
		wantReason(t, w.read(t), login.Rejected)
		time.Sleep(time.Second)
		w.set(func() { w.secretID = secretID + "-2" })
		time.Sleep(45 * time.Second)
		if err := w.read(t); err != nil {
			t.Errorf("46 s later: %v", err)
		}
		if got := w.count("auth/approle/login") - logins; got != 2 {
			t.Errorf("%d logins, want 2", got)
		}
	})
}

// TestVaultObjectsOfOneRoleSendAWrongSecretIDOnce: each of them has a session of its own, and the
// server counts the logins of all.
func TestVaultObjectsOfOneRoleSendAWrongSecretIDOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		// edit makes the configuration of the nth vault object.
		edit func(c *login.Config, n int)
		want int
	}{
		"the same role":              {func(*login.Config, int) {}, 1},
		"each in another namespace":  {func(c *login.Config, n int) { c.Namespace = fmt.Sprint("team-", n) }, 5},
		"each on another server":     {func(c *login.Config, n int) { c.Address = fmt.Sprintf("http://vault-%d.example:8200", n) }, 5},
		"the same role, of its own":  {func(c *login.Config, _ int) { c.Refusals = nil }, 5},
		"one half in each namespace": {func(c *login.Config, n int) { c.Namespace = fmt.Sprint("team-", n%2) }, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				refusals := login.NewRefusals()
				all := make([]*testbed, 5)
				for n := range all {
					edit := func(c *login.Config) {
						c.Refusals = refusals
						test.edit(c, n)
					}
					if n == 0 {
						all[0] = startTestbed(t, &tokenServer{TTL: time.Hour}, edit)
						continue
					}
					all[n] = &testbed{tokenServer: all[0].tokenServer, file: all[0].file}
					all[n].start(t, edit)
				}
				readAll := func(d time.Duration) (failed int64) {
					var reads sync.WaitGroup
					var bad atomic.Int64
					for _, w := range all {
						reads.Go(func() {
							if err := w.readFor(t, d); err != nil {
								bad.Add(1)
							}
						})
					}
					reads.Wait()
					return bad.Load()
				}
				if n := readAll(time.Second); n > 0 {
					t.Fatalf("%d of 5 have no token at the start", n)
				}
				time.Sleep(2 * time.Minute)
				all[0].set(func() { clear(all[0].tokens); all[0].secretID = secretID + "-2" })
				logins := all[0].count("auth/approle/login")
				if n := readAll(5 * time.Minute); n != 5 {
					t.Errorf("%d of 5 fail with the wrong secret id, want all", n)
				}
				if got := all[0].count("auth/approle/login") - logins; got != test.want {
					t.Errorf("%d logins with the wrong secret id, want %d", got, test.want)
				}
				writeFile(t, all[0].file, secretID+"-2\n")
				if n := readAll(40 * time.Second); n > 0 {
					t.Errorf("%d of 5 fail with the right secret id", n)
				}
			})
		})
	}
}

// TestALockedRoleIsTriedAgain: logins of a locked role count no more, and the answer looks
// like that of a server without the auth method.
func TestALockedRoleIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startTestbed(t, &tokenServer{TTL: time.Hour}, nil)
		if err := w.read(t); err != nil {
			t.Fatal(err)
		}
		w.set(func() { clear(w.tokens); w.loginStatus = 403 })
		time.Sleep(15 * time.Minute)
		if err := w.read(t); err == nil || !strings.Contains(err.Error(), "sys/locked-users") {
			t.Errorf("read = %v, want it to say where a locked role is seen", err)
		}
		w.set(func() { w.loginStatus = 0 })
		time.Sleep(30 * time.Second)
		if err := w.read(t); err != nil {
			t.Errorf("30 s after the end of the lock: %v", err)
		}
	})
}
