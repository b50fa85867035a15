package login_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

func TestADayOfTokenLifeWithoutAFailedLookup(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	within := func(min, max int) [2]int { return [2]int{min, max} }
	tests := []struct {
		name   string
		server tokenServer
		// at changes the server after some time, and lost is until when lookups
		// may fail after that.
		at             time.Duration
		change, undo   func(*tokenServer)
		lasts          time.Duration
		logins, renews [2]int
	}{
		{name: "renewable", server: tokenServer{TTL: time.Hour}, logins: within(1, 1), renews: within(36, 42)},
		{name: "a short life", server: tokenServer{TTL: 3 * time.Minute}, logins: within(1, 1), renews: within(720, 810)},
		{name: "max TTL reached", server: tokenServer{TTL: time.Hour, MaxTTL: 4 * time.Hour}, logins: within(6, 10), renews: within(24, 50)},
		{name: "max TTL below two lives", server: tokenServer{TTL: time.Hour, MaxTTL: 80 * time.Minute}, logins: within(18, 42), renews: within(18, 42)},
		{name: "renewal refused by policy", server: tokenServer{TTL: time.Hour, renewals: 403}, logins: within(36, 42), renews: within(36, 42)},
		{name: "renewal refused", server: tokenServer{TTL: time.Hour, renewals: 400}, logins: within(36, 42), renews: within(36, 42)},
		{name: "renewal refused since the policies of the role changed", server: tokenServer{TTL: time.Hour, renewals: 500, renewalBody: policiesChanged}, logins: within(36, 42), renews: within(36, 42)},
		{name: "renewal without a word since the user was removed", server: tokenServer{TTL: time.Hour, renewals: 204, renewalBody: " "}, logins: within(36, 42), renews: within(36, 42)},
		{name: "renewals kept away by a proxy", server: tokenServer{TTL: time.Hour, renewals: 405, renewalBody: "<html>"}, logins: within(28, 31), renews: within(500, 1200)},
		{name: "renewals that get no answer", server: tokenServer{TTL: time.Hour, swallow: math.MaxInt}, logins: within(28, 32), renews: within(400, 1200)},
		{name: "not renewable", server: tokenServer{TTL: time.Hour, NotRenewable: true}, logins: within(36, 42), renews: within(0, 0)},
		{name: "batch token", server: tokenServer{TTL: time.Hour, Batch: true}, logins: within(36, 42), renews: within(0, 0)},
		{name: "for ever", server: tokenServer{}, logins: within(1, 1), renews: within(0, 0)},
		{
			name: "outage longer than the life", server: tokenServer{TTL: 10 * time.Minute}, at: 3 * time.Hour, lasts: time.Hour,
			change: func(s *tokenServer) { s.down = true }, undo: func(s *tokenServer) { s.down = false },
			logins: within(2, 2), renews: within(190, 240),
		},
		{
			name: "outage shorter than the life", server: tokenServer{TTL: time.Hour}, at: 3*time.Hour + time.Minute, lasts: 15 * time.Minute,
			change: func(s *tokenServer) { s.down = true }, undo: func(s *tokenServer) { s.down = false },
			logins: within(1, 1), renews: within(36, 43),
		},
		{
			name: "no login possible for a while", server: tokenServer{TTL: time.Hour, Batch: true}, at: 3 * time.Hour, lasts: 19 * time.Minute,
			change: func(s *tokenServer) { s.loginStatus = 400 }, undo: func(s *tokenServer) { s.loginStatus = 0 },
			logins: within(36, 100), renews: within(0, 0),
		},
		{
			name: "every token revoked", server: tokenServer{TTL: time.Hour}, at: 3 * time.Hour, lasts: 0,
			change: func(s *tokenServer) { clear(s.tokens) }, undo: func(*tokenServer) {},
			logins: within(2, 2), renews: within(36, 42),
		},
	}
	for i := range tests {
		tt := &tests[i]
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := startTestbed(t, &tt.server, nil)
				failed, changed, undone := 0, false, false
				for begin := time.Now(); time.Since(begin) < day; time.Sleep(127 * time.Second) {
					if !changed && tt.change != nil && time.Since(begin) >= tt.at {
						changed = true
						w.set(func() { tt.change(w.tokenServer) })
					}
					if changed && !undone && time.Since(begin) >= tt.at+tt.lasts {
						undone = true
						w.set(func() { tt.undo(w.tokenServer) })
						// The last attempt may have failed just now, and there is one a second.
						time.Sleep(time.Second)
					}
					err := w.read(t)
					if excused := changed && !undone && tt.server.down; err != nil && !excused {
						failed++
						t.Logf("after %s: %v", time.Since(begin), err)
					}
				}
				if failed != 0 {
					t.Errorf("%d reads failed, want none", failed)
				}
				if got := w.count("auth/approle/login"); got < tt.logins[0] || got > tt.logins[1] {
					t.Errorf("%d logins, want %d to %d", got, tt.logins[0], tt.logins[1])
				}
				if got := w.count("auth/token/renew-self"); got < tt.renews[0] || got > tt.renews[1] {
					t.Errorf("%d renewals, want %d to %d", got, tt.renews[0], tt.renews[1])
				}
				// The day may end right after a login, with the token before not revoked yet.
				if got := w.live(); got > 2 && !tt.server.Batch {
					t.Errorf("%d tokens live, want the ones before revoked", got)
				}
				if got, want := w.count("auth/token/revoke-self"), w.count("auth/approle/login")-2; tt.server.MaxTTL > 0 && got < want {
					t.Errorf("%d tokens were revoked, want all but the last of those replaced, %d", got, want)
				}
				w.stop()
				if got := w.live(); got != 0 && !tt.server.Batch {
					t.Errorf("%d tokens live after the stop, want ours revoked", got)
				}
				wantNoSecrets(t, nil, w.logs)
			})
		})
	}
}

const policiesChanged = `{"errors":["1 error occurred:\n\t* failed to renew entry: policies have changed, not renewing\n\n"]}`

func TestAGivenTokenIsRenewedAndNeverRevoked(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		server tokenServer
		ends   time.Duration // 0 for never
		say    string
	}{
		{"renewable", tokenServer{TTL: time.Hour}, 0, ""},
		{"for ever", tokenServer{}, 0, ""},
		{"not renewable", tokenServer{TTL: time.Hour, NotRenewable: true}, time.Hour, "cannot be renewed; give another one"},
		{"max TTL", tokenServer{TTL: time.Hour, MaxTTL: 3 * time.Hour}, 3 * time.Hour, "cannot be renewed; give another one"},
		{"policies of its role changed", tokenServer{TTL: time.Hour, renewals: 500, renewalBody: policiesChanged}, time.Hour, "(500): its role or user has got other policies; it ends at 2000-01-01T01:00:00Z: give another one, or configure a login"},
		{"user removed", tokenServer{TTL: time.Hour, renewals: 204, renewalBody: " "}, time.Hour, "(204): its role or user was removed; it ends at 2000-01-01T01:00:00Z: give another one, or configure a login"},
		{"may not renew itself", tokenServer{TTL: time.Hour, renewals: 403}, time.Hour, `path "auth/token/renew-self" { capabilities = ["update"] }`},
	}
	for i := range tests {
		tt := &tests[i]
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				file := t.TempDir() + "/token"
				s := &tt.server
				w := startTestbed(t, s, func(c *login.Config) {
					s.mu.Lock()
					token, _ := s.give()
					s.mu.Unlock()
					writeFile(t, file, token)
					c.Method, c.TokenFile = nil, file
				})
				begin := time.Now()
				for ; time.Since(begin) < 24*time.Hour; time.Sleep(5 * time.Minute) {
					err := w.read(t)
					if ended := tt.ends != 0 && time.Since(begin) >= tt.ends; (err != nil) != ended {
						t.Fatalf("after %s: %v", time.Since(begin), err)
					}
					if err != nil {
						break
					}
				}
				life := w.session.Life()
				if life.Method != "token" || life.Logins != 0 || life.Forever != (tt.server.TTL == 0) {
					t.Errorf("Life() = %+v", life)
				}
				if text := strings.Join(lines(w.logs), "\n"); !strings.Contains(strings.ReplaceAll(text, `\"`, `"`), tt.say) {
					t.Errorf("the log does not say %q:\n%s", tt.say, text)
				}
				if tt.ends != 0 {
					// Another token in the file is all that is needed.
					s.mu.Lock()
					token, _ := s.give()
					s.mu.Unlock()
					writeFile(t, file, token)
					if err := w.read(t); err != nil {
						t.Errorf("with another token: %v", err)
					}
				}
				w.stop()
				if got := w.count("auth/token/revoke-self"); got != 0 {
					t.Errorf("revoked %d times, want a given token left alone", got)
				}
			})
		})
	}
}

func TestPolicyThatDoesNotCoverTheMountIsNoLoginPerRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startTestbed(t, &tokenServer{TTL: time.Hour, denied: true}, nil)
		for range 600 {
			err := w.read(t)
			if !errors.Is(err, errDenied) {
				t.Fatalf("read = %v, want %v", err, errDenied)
			}
			time.Sleep(time.Second)
		}
		if got := w.count("auth/approle/login"); got < 3 || got > 30 {
			t.Errorf("%d logins in 10 minutes, want a few", got)
		}
		if got := w.count("auth/token/lookup-self"); got > 650 {
			t.Errorf("%d lookups of the token in 10 minutes, want at most one a second", got)
		}
		w.set(func() { w.denied = false })
		if err := w.read(t); err != nil {
			t.Errorf("with the policy corrected: %v", err)
		}
		if got := w.live(); got > 3 {
			t.Errorf("%d tokens live, want those before revoked", got)
		}
	})
}

// TestManyRefusedRequestsAreOneLogin: they share a login, and logins that fail do not
// overload the server.
func TestManyRefusedRequestsAreOneLogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startTestbed(t, &tokenServer{TTL: time.Hour}, nil)
		if err := w.read(t); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		crowd := func() (failed int) {
			errs := make(chan error, 100)
			for range 30 {
				go func() { errs <- w.read(t) }()
			}
			for range 30 {
				if err := <-errs; err != nil {
					failed++
				}
			}
			return failed
		}
		w.set(func() { clear(w.tokens) })
		if failed := crowd(); failed != 0 {
			t.Errorf("%d of 30 reads failed with a token that was revoked, want none", failed)
		}
		if got := w.count("auth/approle/login"); got != 2 {
			t.Errorf("%d logins, want 2", got)
		}
		w.set(func() { clear(w.tokens); w.loginStatus = 400 })
		begin := w.count("auth/approle/login")
		for range 100 {
			crowd()
			time.Sleep(300 * time.Millisecond)
		}
		if got := w.count("auth/approle/login") - begin; got < 10 || got > 70 {
			t.Errorf("%d logins in 30 s of refusals, want about one a second", got)
		}
		wantReason(t, w.read(t), login.Rejected, login.Refused)
		w.set(func() { w.loginStatus = 0 })
		time.Sleep(1500 * time.Millisecond)
		if failed := crowd(); failed != 0 {
			t.Errorf("%d of 30 reads failed once logins were possible, want none", failed)
		}
	})
}

func TestFilesAreReadAgainAtEachLogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startTestbed(t, &tokenServer{TTL: time.Hour, Batch: true}, nil)
		if err := w.read(t); err != nil {
			t.Fatal(err)
		}
		w.set(func() { w.secretID = secretID + "-2" })
		time.Sleep(59 * time.Minute)
		if err := w.read(t); err != nil {
			t.Fatalf("with a token that lives while logins fail: %v", err)
		}
		if life := w.session.Life(); life.FailedLogins == 0 || !strings.Contains(life.Trouble, "secret_id_file") || life.Remaining <= 0 {
			t.Errorf("Life() = %+v, want trouble with the secret id and some life", life)
		}
		time.Sleep(2 * time.Minute)
		if err := w.read(t); err == nil || !strings.Contains(err.Error(), "secret_id_file") {
			t.Fatalf("after the end of the token: %v, want a word about the secret id", err)
		}
		writeFile(t, w.file, secretID+"-2\n")
		time.Sleep(2 * time.Second)
		if err := w.read(t); err != nil {
			t.Errorf("with the new secret id: %v", err)
		}
	})
}

// TestVaultObjectsDoNotLogInTogether: many of them on one server, all of whose
// tokens ended in an outage.
func TestVaultObjectsDoNotLogInTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const objects = 50
		s := newTokenServer(t, &tokenServer{TTL: 10 * time.Minute})
		var worlds []*testbed
		for range objects {
			w := &testbed{tokenServer: s, file: t.TempDir() + "/secret-id"}
			worlds = append(worlds, w)
			writeFile(t, w.file, s.secretID)
			w.start(t, nil)
		}
		time.Sleep(time.Minute)
		s.set(func() { s.down = true })
		time.Sleep(30 * time.Minute)
		s.set(func() { s.down = false; clear(s.loginsInASlot) })
		time.Sleep(40 * time.Second)
		s.mu.Lock()
		most := 0
		for _, n := range s.loginsInASlot {
			most = max(most, n)
		}
		s.mu.Unlock()
		if most > objects/2 {
			t.Errorf("%d of %d logged in within one second of the end of the outage, want them spread", most, objects)
		}
		for _, w := range worlds {
			w.stop()
		}
	})
}

// TestTokenIsKeptAliveOverAConnectionThatLeadsNowhere: a renewal that is sent on
// one must not use up the life of a token that cannot be replaced.
func TestTokenIsKeptAliveOverAConnectionThatLeadsNowhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &tokenServer{TTL: 24 * time.Second}
		w := startTestbed(t, s, func(c *login.Config) {
			s.mu.Lock()
			defer s.mu.Unlock()
			c.Token, _ = s.give()
			c.Method = nil
		})
		for range 10 {
			time.Sleep(7 * time.Second)
			w.conns.CloseIdleConnections()
			s.set(func() { s.swallow = 1 })
			time.Sleep(20 * time.Second)
			if err := w.read(t); err != nil {
				t.Fatalf("after a renewal that was swallowed: %v", err)
			}
		}
	})
}

// TestTokensThatAreNotUsedAreNotLeftBehind: a role may give tokens that are of no
// use to us for as long as the role is not corrected.
func TestTokensThatAreNotUsedAreNotLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startTestbed(t, &tokenServer{TTL: 24 * time.Hour, Uses: 3}, nil)
		for range 60 {
			if err := w.read(t); err == nil || !strings.Contains(err.Error(), "token_num_uses") {
				t.Fatalf("read = %v, want a word about the number of uses", err)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := w.count("auth/approle/login"); got < 5 {
			t.Errorf("%d logins in a minute, want it tried again", got)
		}
		if got := w.live(); got != 0 {
			t.Errorf("%d tokens live, want those that are not used revoked", got)
		}
	})
}

// TestRenewalIsGivenUpOnlyWhenVaultSaysSo: what stands in front of it may answer
// anything for a while, and so may policies until they are corrected.
func TestRenewalIsGivenUpOnlyWhenVaultSaysSo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		status  int
		body    string
		survive bool
	}{
		{"Vault says that the token is not renewable", 400, `{"errors":["lease is not renewable"]}`, false},
		{"policies of the role that are other ones for a while", 500, policiesChanged, true},
		{"an error of the storage", 500, `{"errors":["1 error occurred:\n\t* internal error\n\n"]}`, true},
		{"a user that is not there for a while", 204, " ", true},
		{"a policy that lacks the line for a while", 403, policyDenies, true},
		{"a page for people", 200, "<html>log in</html>", true},
		{"a load balancer without a route", 404, "<html>", true},
		{"a firewall", 403, "<html>blocked</html>", true},
		{"a proxy that does not like the request", 400, "bad request", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &tokenServer{TTL: time.Hour, renewals: tt.status, renewalBody: tt.body}
				w := startTestbed(t, s, func(c *login.Config) {
					s.mu.Lock()
					defer s.mu.Unlock()
					c.Token, _ = s.give()
					c.Method = nil
				})
				time.Sleep(50 * time.Minute)
				s.set(func() { s.renewals = 0 })
				time.Sleep(time.Hour)
				if err := w.read(t); (err == nil) != tt.survive {
					t.Errorf("read after the first life = %v, want the token alive: %t; log:\n%s", err, tt.survive, strings.Join(lines(w.logs), "\n"))
				}
				if got := s.count("auth/token/renew-self"); got > 200 {
					t.Errorf("%d renewals, want no storm", got)
				}
			})
		})
	}
}

// TestALoginThatIsRefusedKeepsTheTokenThatCanBeRenewed: while renewals fail, it is
// either of the two that comes back first.
func TestALoginThatIsRefusedKeepsTheTokenThatCanBeRenewed(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"refused": 500, "kept away": 502} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := startTestbed(t, &tokenServer{TTL: time.Hour, renewals: status, renewalBody: policiesChanged}, nil)
				synctest.Wait()
				w.set(func() { w.loginStatus = 400 })
				time.Sleep(55 * time.Minute)
				if got := w.count("auth/approle/login"); got < 3 {
					t.Errorf("%d logins, want some tried", got)
				}
				if life := w.session.Life(); !strings.Contains(life.Trouble, "refuses the login") {
					t.Errorf("Life() = %+v, want trouble with the login", life)
				}
				w.set(func() { w.renewals = 0 })
				time.Sleep(time.Hour)
				if life := w.session.Life(); life.Trouble != "" || life.Logins != 1 {
					t.Errorf("Life() = %+v, want the first token renewed", life)
				}
				if err := w.read(t); err != nil {
					t.Errorf("read = %v, want no error", err)
				}
			})
		})
	}
}

// TestAUseLimitIsNamedBeforeAndAfter: a given token that is good for a number of
// requests works at first.
func TestAUseLimitIsNamedBeforeAndAfter(t *testing.T) {
	t.Parallel()
	for name, inFile := range map[string]bool{"in a file": true, "as a value": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				file := t.TempDir() + "/token"
				s := &tokenServer{TTL: time.Hour, Uses: 20}
				w := startTestbed(t, s, func(c *login.Config) {
					s.mu.Lock()
					defer s.mu.Unlock()
					c.Token, _ = s.give()
					c.Method = nil
					if inFile {
						writeFile(t, file, c.Token)
						c.Token, c.TokenFile = "", file
					}
				})
				synctest.Wait()
				if life := w.session.Life(); !life.Limited || !strings.Contains(life.Trouble, "use limit (num_uses)") {
					t.Errorf("Life() = %+v, want the limit named", life)
				}
				if got := w.logs.FilterMessage("vault token ends").Len(); got != 1 {
					t.Errorf("log:\n%s\nwant one line about the limit", strings.Join(lines(w.logs), "\n"))
				}
				if err := w.session.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "give one without") {
					t.Errorf("Check = %v, want the limit named, with what to do", err)
				}
				var err error
				for range 20 {
					if err = w.read(t); err != nil {
						break
					}
					time.Sleep(time.Second)
				}
				if err == nil || !strings.Contains(err.Error(), "it had a use limit (num_uses) and is used up") || !strings.Contains(err.Error(), "one without a use limit") {
					t.Errorf("when it is used up: %v, want the limit named, with what to do", err)
				}
				wantReason(t, err, login.Rejected)
				if !inFile {
					return
				}
				s.set(func() {
					s.Uses = 0
					token, _ := s.give()
					writeFile(t, file, token)
				})
				time.Sleep(time.Minute)
				if err := w.read(t); err != nil {
					t.Errorf("with another token: %v", err)
				}
				if life := w.session.Life(); life.Limited || life.Trouble != "" {
					t.Errorf("Life() = %+v, want no word of the token before", life)
				}
			})
		})
	}
}

// TestTokensThatAreNeverTakenAreNoLoginPerRequest: such as those that the role binds
// to other addresses. Each of them lives on in Vault.
func TestTokensThatAreNeverTakenAreNoLoginPerRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := startTestbed(t, &tokenServer{TTL: time.Hour, elsewhere: true}, nil)
		said := 0
		for range 6000 {
			if err := w.read(t); err == nil {
				t.Fatal("read = nil, want an error")
			} else if strings.Contains(err.Error(), "token_bound_cidrs") {
				said++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := w.count("auth/approle/login"); got < 3 || got > 60 {
			t.Errorf("%d logins in 10 minutes, want a few", got)
		}
		if said == 0 {
			t.Errorf("no read says what to do; log:\n%s", strings.Join(lines(w.logs), "\n"))
		}
		w.set(func() { w.elsewhere = false })
		time.Sleep(time.Minute)
		if err := w.read(t); err != nil {
			t.Errorf("with the role corrected: %v", err)
		}
	})
}
