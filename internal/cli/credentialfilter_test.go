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
		{AccessToken: "good", State: "good", CreatedAt: day(-400)},
		{AccessToken: "soon", State: "good", ExpiresAt: day(13), CreatedAt: day(-400)},
		{AccessToken: "sooner", State: "disabled", ExpiresAt: day(2), CreatedAt: day(-20)},
		{AccessToken: "later", State: "good", ExpiresAt: day(15), CreatedAt: day(-400)},
		{AccessToken: "over", State: "expired", ExpiresAt: day(-1)},
		{AccessToken: "rotating", State: "good", PreviousExpiresAt: day(1_000_000), RefusedBy: []string{"orders"}},
		{AccessToken: "by hand", State: "unknown_consumer"},
	}
	tests := []struct {
		name string
		credentialFilter
		want []string
	}{
		{"all", credentialFilter{}, []string{"good", "soon", "sooner", "later", "over", "rotating", "by hand"}},
		{"active", credentialFilter{state: "active"}, []string{"good", "soon", "later", "rotating"}},
		{"good", credentialFilter{state: "good"}, []string{"good", "soon", "later"}},
		{"rotating", credentialFilter{state: "rotating"}, []string{"rotating"}},
		{"expired", credentialFilter{state: "expired"}, []string{"over"}},
		{"without a consumer", credentialFilter{state: "unknown_consumer"}, []string{"by hand"}},
		{"that expire within two weeks", credentialFilter{expiring: "14d"}, []string{"sooner", "soon"}},
		{"that are active and expire within two weeks", credentialFilter{expiring: "14d", state: "active"}, []string{"soon"}},
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
	for name, f := range map[string]credentialFilter{"--state": {state: "odd"}, "--expiring": {expiring: "-1d"}} {
		if _, err := f.choose(all, now); err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
