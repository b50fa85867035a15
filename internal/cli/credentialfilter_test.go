package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/internal/api"
)

func TestCredentialsAreChosenAndSorted(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	day := func(n int64) *int64 { at := now.Unix() + n*24*3600; return &at }
	all := []api.Credential{
		{AccessToken: "good", State: "good", CreatedAt: day(-400), LastUsedAt: day(-1), UsesKnownSince: day(-100)},
		{AccessToken: "soon", State: "good", ExpiresAt: day(13), CreatedAt: day(-400), LastUsedAt: day(-95), UsesKnownSince: day(-100)},
		{AccessToken: "sooner", State: "disabled", ExpiresAt: day(2), CreatedAt: day(-20), UsesKnownSince: day(-100)},
		{AccessToken: "later", State: "good", ExpiresAt: day(15), CreatedAt: day(-400), UsesKnownSince: day(-100)},
		{AccessToken: "over", State: "expired", ExpiresAt: day(-1), LastUsedAt: day(-91), UsesKnownSince: day(-100)},
		{AccessToken: "rotating", State: "good", PreviousExpiresAt: day(1_000_000), RefusedBy: []string{"orders"}, LastUsedAt: day(0), UsesKnownSince: day(-100)},
		{AccessToken: "by hand", State: "unknown_consumer"},
		{AccessToken: "created again", State: "acl", CreatedAt: day(-1), LastUsedAt: day(-99), UsesKnownSince: day(-100)},
		{AccessToken: "used before the record", State: "acl", CreatedAt: day(-400), LastUsedAt: day(-99), UsesKnownSince: day(-5)},
		{AccessToken: "without a record", State: "acl", CreatedAt: day(-400), LastUsedAt: day(-99)},
	}
	tests := []struct {
		name string
		credentialFilter
		want []string
	}{
		{"all", credentialFilter{}, []string{"good", "soon", "sooner", "later", "over", "rotating", "by hand", "created again", "used before the record", "without a record"}},
		{"active", credentialFilter{state: "active"}, []string{"good", "soon", "later", "rotating"}},
		{"good", credentialFilter{state: "good"}, []string{"good", "soon", "later"}},
		{"rotating", credentialFilter{state: "rotating"}, []string{"rotating"}},
		{"expired", credentialFilter{state: "expired"}, []string{"over"}},
		{"without a consumer", credentialFilter{state: "unknown_consumer"}, []string{"by hand"}},
		{"that expire within two weeks", credentialFilter{expiring: "14d"}, []string{"sooner", "soon"}},
		{"that are active and expire within two weeks", credentialFilter{expiring: "14d", state: "active"}, []string{"soon"}},
		{"that nobody has used for 90 days", credentialFilter{unused: "90d"}, []string{"later", "soon", "over"}},
		{"that nobody has used for 10 days", credentialFilter{unused: "10d"}, []string{"later", "soon", "over", "sooner"}},
		{"that nobody has used for 5 days", credentialFilter{unused: "5d"}, []string{"later", "soon", "over", "sooner", "used before the record"}},
		{"that nobody has used for 90 days and that expire", credentialFilter{unused: "90d", expiring: "30d"}, []string{"soon", "later"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			some, err := test.choose(all, now)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range some {
				got = append(got, c.AccessToken)
				if all[c.item].AccessToken != c.AccessToken {
					t.Errorf("%s is said to be item %d", c.AccessToken, c.item)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for name, f := range map[string]credentialFilter{"--state": {state: "odd"}, "--expiring": {expiring: "-1d"}, "--unused": {unused: "soon"}} {
		if _, err := f.choose(all, now); err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAListOfUnusedCredentialsSaysWhatItCannotHave(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	since := now.Add(-10 * 24 * time.Hour).Unix()
	known := []api.Credential{{UsesKnownSince: &since}}
	tests := []struct {
		name   string
		unused string
		all    []api.Credential
		says   string
	}{
		{"as long as it is recorded", "10d", known, ""},
		{"longer than it is recorded", "11d", known, "since " + instant(since) + " only"},
		{"not known", "1d", []api.Credential{{}}, "cannot be told"},
		{"nothing", "1d", nil, ""},
		{"not asked for", "", known, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := credentialFilter{unused: test.unused}
			if got := f.warning(test.all, now); !strings.Contains(got, test.says) || test.says == "" && got != "" {
				t.Errorf("got %q, want %q", got, test.says)
			}
		})
	}
}

func TestTheLastUseIsATimeOrSinceWhenThereWasNone(t *testing.T) {
	t.Parallel()
	known, created, used := int64(1_700_000_000), int64(1_750_000_000), int64(1_760_000_040)
	for _, test := range []struct {
		c    api.Credential
		want string
	}{
		{api.Credential{}, ""},
		{api.Credential{LastUsedAt: &used, UsesKnownSince: &known, CreatedAt: &created}, "2025-10-09T08:54:00Z"},
		{api.Credential{UsesKnownSince: &known, CreatedAt: &created}, "not since 2025-06-15T15:06:40Z"},
		{api.Credential{UsesKnownSince: &known}, "not since 2023-11-14T22:13:20Z"},
	} {
		if got := lastUse(test.c); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
