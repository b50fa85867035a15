package vaultkv_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/vaultkv"
)

// TestTheLogDoesNotGrowWhileTheStateAlternates: a policy that covers a part of the paths
// lets each answer change the state, as does one node of several that fails.
func TestTheLogDoesNotGrowWhileTheStateAlternates(t *testing.T) {
	t.Parallel()
	type answer struct {
		state  vaultkv.State
		detail string
	}
	ok := answer{vaultkv.StateOK, ""}
	forbidden, another := answer{vaultkv.StateForbidden, "add read on data"}, answer{vaultkv.StateForbidden, "add list on metadata"}
	sealed, failing := answer{vaultkv.StateSealed, "unseal it"}, answer{vaultkv.StateFailing, "answers 502"}
	for _, tt := range []struct {
		name    string
		answers []answer
		every   time.Duration
		hourly  int
		last    string
	}{
		{"a policy covers a part", []answer{ok, forbidden}, 250 * time.Millisecond, 24, "forbidden"},
		{"a policy covers a part, with two reasons", []answer{ok, forbidden, another}, 250 * time.Millisecond, 36, "forbidden"},
		{"a policy covers a part, asked once a minute", []answer{ok, ok, forbidden}, 20 * time.Second, 24, "forbidden"},
		{"two states without a success between", []answer{forbidden, sealed}, 250 * time.Millisecond, 24, ""},
		{"three states and a success", []answer{ok, forbidden, sealed, failing}, time.Second, 48, ""},
		{"one reason that lasts", []answer{sealed}, time.Second, 12, "sealed"},
		{"all is well", []answer{ok}, time.Second, 0, "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log, logs := newLog()
				h := vaultkv.NewHealth(log)
				last := ""
				during := func(d time.Duration) int {
					for end := time.Now().Add(d); time.Now().Before(end); {
						for _, a := range tt.answers {
							h.Record(a.state, "%s", a.detail)
							h.Tick()
							time.Sleep(tt.every)
						}
					}
					all := logs.TakeAll()
					if len(all) > 0 {
						last, _ = all[len(all)-1].ContextMap()["state"].(string)
					}
					return len(all)
				}
				if got, most := during(10*time.Minute), 20; got > most {
					t.Errorf("%d lines in the first ten minutes, want at most %d", got, most)
				}
				if got := during(time.Hour); got > tt.hourly+2 {
					t.Errorf("%d lines in an hour, want about %d", got, tt.hourly)
				}
				if !strings.Contains(last, tt.last) {
					t.Errorf("the last line is about the state %q, want %q", last, tt.last)
				}
			})
		})
	}
}

// TestEachChangeIsLoggedAtOnceUnlessTheyAlternate: an operator sees an outage and its end
// when they happen.
func TestEachChangeIsLoggedAtOnceUnlessTheyAlternate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, logs := newLog()
		h := vaultkv.NewHealth(log)
		becomes := func(s vaultkv.State, detail string) {
			t.Helper()
			h.Record(s, "%s", detail)
			if all := logs.TakeAll(); len(all) != 1 || all[0].ContextMap()["state"] != s.String() {
				t.Fatalf("%d lines, want one: %s", len(all), s)
			}
		}
		becomes(vaultkv.StateOK, "")
		for range 4 { // a restart of all servers every two minutes
			becomes(vaultkv.StateUnreachable, "refuses the connection")
			becomes(vaultkv.StateSealed, "unseal it")
			becomes(vaultkv.StateOK, "")
			time.Sleep(2 * time.Minute)
		}
		// The policy covers a part: it alternates until no line says that all is well.
		for range 50 {
			h.Record(vaultkv.StateForbidden, "add read")
			h.Record(vaultkv.StateOK, "")
		}
		logs.TakeAll()
		h.Record(vaultkv.StateForbidden, "add read")
		becomes(vaultkv.StateSealed, "unseal it") // what is new is not held back
		h.Record(vaultkv.StateOK, "")
		for range 60 {
			h.Tick()
			time.Sleep(5 * time.Second)
		}
		if all := logs.TakeAll(); len(all) != 1 || all[0].ContextMap()["state"] != "ok" {
			t.Fatalf("%d lines in five minutes, want one: ok", len(all))
		}
	})
}
