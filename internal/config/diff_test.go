package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const running = `
log: {level: info}
drain: {wait: 5s}
state: {vault: home}
admin: {tokens: [{name: ops, sha256: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]}
vaults:
  - {name: home, address: "http://127.0.0.1:8200", mount: home, token: {file: /token}}
  - {name: main, address: "http://127.0.0.1:8200", mount: kong, token: {file: /token}}
consumers:
  - {id: 00000000-0000-4000-8000-000000000001, username: alice, groups: [staff, admins]}
  - {id: 00000000-0000-4000-8000-000000000002, username: bob}
policies:
  - {name: orders, vault: main, default: true}
`

func parsed(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

func TestADifferenceSaysWhatAReloadChangesAndWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edit []string
		want []Difference
	}{
		"nothing": {nil, nil},
		"a group is removed": {
			[]string{"[staff, admins]", "[staff]"},
			[]Difference{{Kind: Changed, Setting: "consumers[alice].groups", From: "staff, admins", To: "staff"}},
		},
		"a consumer is removed, another one added": {
			[]string{"000000000002, username: bob", "000000000003, username: carol"},
			[]Difference{{Kind: Removed, Setting: "consumers[bob]"}, {Kind: Added, Setting: "consumers[carol]"}},
		},
		"a policy is stricter": {
			[]string{"default: true}", "default: true, acl: {deny: [staff]}}"},
			[]Difference{{Kind: Changed, Setting: "policies[orders].acl.deny", To: "staff"}},
		},
		"a policy answers in other words": {
			[]string{"default: true}", "default: true, denial: {forbidden: {status: 404}, body: {text: \"{{message}}\\n\"}}}"},
			[]Difference{
				{Kind: Changed, Setting: "policies[orders].denial.body.text", To: "{{message}}\n"},
				{Kind: Changed, Setting: "policies[orders].denial.forbidden.status", From: "0", To: "404"},
			},
		},
		"the cache of a vault object": {
			[]string{"mount: kong,", "mount: kong, cache: {ttl: 90s},"},
			[]Difference{{Kind: Changed, Setting: "vaults[main].cache.ttl", From: "5m0s", To: "1m30s"}},
		},
		"log levels": {
			[]string{"level: info", "level: debug, decisions: {level: off}"},
			[]Difference{{Kind: Changed, Setting: "log.decisions.level", From: "info", To: "off"}, {Kind: Changed, Setting: "log.level", From: "info", To: "debug"}},
		},
		"the drain": {
			[]string{"wait: 5s", "wait: 6s"},
			[]Difference{{Kind: Changed, Setting: "drain.wait", From: "5s", To: "6s", Restart: true}},
		},
		"a token of the admin API, whose digest is not shown": {
			[]string{"aaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbb"},
			[]Difference{{Kind: Changed, Setting: "admin.tokens[ops].sha256", Restart: true}},
		},
		"the vault object of the state": {
			[]string{"mount: home,", "mount: other,"},
			[]Difference{{Kind: Changed, Setting: "vaults[home].mount", From: "home", To: "other", Restart: true}},
		},
		"the vault object of the state is removed": {
			[]string{"state: {vault: home}", "state: {vault: main}", "  - {name: home, address: \"http://127.0.0.1:8200\", mount: home, token: {file: /token}}\n", ""},
			[]Difference{{Kind: Changed, Setting: "state.vault", From: "home", To: "main", Restart: true}, {Kind: Removed, Setting: "vaults[home]", Restart: true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, next := parsed(t, running), parsed(t, strings.NewReplacer(test.edit...).Replace(running))
			if diff := cmp.Diff(test.want, old.Diff(next)); diff != "" {
				t.Error(diff)
			}
			reloaded, err := old.Reloaded(next)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range reloaded.Diff(next) {
				if !d.Restart {
					t.Errorf("%s is not taken by a reload, and does not need a restart", d.Setting)
				}
			}
		})
	}
}

// What is valid by itself may not fit to what needs a restart.
func TestAReloadIsValidatedTogetherWithWhatItKeeps(t *testing.T) {
	t.Parallel()
	old := parsed(t, running)
	next := parsed(t, strings.NewReplacer("state: {vault: home}", "state: {vault: home, mount: elsewhere}", "mount: kong,", "mount: vault-authz,").Replace(running))
	if _, err := old.Reloaded(next); err == nil || !strings.Contains(err.Error(), "the state is kept there") {
		t.Errorf("got %v, want that the credentials would be in the mount of the state", err)
	}
}

func TestAnEmptyFileIsNoReload(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "\n \n", "# all of it is gone\n", "---\n", "{}\n", "null\n"} {
		if _, err := new(Origin).ParseAgain([]byte(raw)); !errors.Is(err, ErrEmpty) {
			t.Errorf("%q: got %v", raw, err)
		}
	}
	for _, raw := range []string{"log: {level: debug}\n", running} {
		if _, err := new(Origin).ParseAgain([]byte(raw)); err != nil {
			t.Errorf("%q: got %v", raw, err)
		}
	}
	for _, raw := range []string{"{", "log: {level: debug\n", "nonsense: 1\n", "- a\n"} {
		if _, err := new(Origin).ParseAgain([]byte(raw)); err == nil || errors.Is(err, ErrEmpty) {
			t.Errorf("%q: got %v, want the mistake in it", raw, err)
		}
	}
}
