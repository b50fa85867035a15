package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// withPolicies is a file with these policies, each a line of settings.
func withPolicies(policies ...string) string {
	text := strings.Replace(minimal, "  - {name: default, default: true, vault: kong-auth}\n", "", 1)
	for _, p := range policies {
		text += "  - {vault: kong-auth, " + p + "}\n"
	}
	return text
}

func TestWarningsAreGivenWhereTheOrderOfTheFileDecidedOtherwise(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		policies []string
		// want are the parts of one warning each.
		want [][]string
	}{
		{"a lone policy", []string{"name: p"}, [][]string{{`"p"`, "add default: true"}}},
		{"a lone policy that is the default", []string{"name: p, default: true"}, nil},
		{"a lone policy with hosts", []string{"name: p, hosts: [api]"}, nil},
		{"the more specific one first", []string{"name: strict, hosts: [api], paths: [/admin]", "name: open, hosts: [api]", "name: rest, default: true"}, nil},
		{"the more specific path last", []string{"name: open, hosts: [api]", "name: strict, hosts: [api], paths: [/admin]"}, [][]string{{`policy "strict" governs`, "http://api/admin,", `took "open"`}}},
		{"the more specific host last", []string{`name: wild, hosts: ["*.example"], paths: [/a]`, "name: exact, hosts: [api.example]"}, [][]string{{`"exact"`, "http://api.example/a,", `"wild"`}}},
		{"the longer wildcard last", []string{`name: short, hosts: ["*.example"]`, `name: long, hosts: ["*.api.example"]`}, [][]string{{`"long"`, "http://some.api.example/", `"short"`}}},
		{"a port last", []string{`name: any, hosts: ["api:*"]`, `name: port, hosts: ["api:8443"]`}, [][]string{{`"port"`, "http://api:8443/", `"any"`}}},
		{"a host before a path that is longer", []string{"name: path, paths: [/a/b]", "name: host, hosts: [api]"}, [][]string{{`"host"`, "http://api/a/b,", `"path"`}}},
		{"the higher priority last", []string{"name: low, paths: [/a]", "name: high, paths: [/a], priority: 1"}, [][]string{{`"high"`, "http://some.name/a,", `"low"`}}},
		{"the case as it is last", []string{"name: any, paths: [/A], ignore_case: true", "name: exact, paths: [/a]"}, [][]string{{`"exact"`, "/a,", `"any"`}}},
		{"nothing in common", []string{"name: a, hosts: [a], paths: [/x]", "name: b, hosts: [b], paths: [/x]", "name: c, hosts: [a], paths: [/xx]", `name: d, hosts: ["a:1"]`}, nil},
		{"a third one governs in any case", []string{"name: x, hosts: [api], paths: [/a/b]", "name: y, hosts: [api]", "name: z, hosts: [api], paths: [/a]"}, [][]string{{`"z"`, "http://api/a,", `"y"`}}},
		{"once for two policies", []string{"name: y, hosts: [a, b]", "name: z, hosts: [a, b], paths: [/a, /b]"}, [][]string{{`"z"`, "http://a/a,", `"y"`}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := Parse([]byte(withPolicies(test.policies...)), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := c.Warnings()
			if len(got) != len(test.want) {
				t.Fatalf("got %q, want %d warnings", got, len(test.want))
			}
			for i, parts := range test.want {
				for _, part := range parts {
					if !strings.Contains(got[i], part) {
						t.Errorf("got %q, want %q in it", got[i], part)
					}
				}
			}
		})
	}
}

func TestPoliciesThatTieAreAMistakeInTheFile(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte(withPolicies("name: open, hosts: [api]", "name: strict, hosts: [x, api]", "name: rest, default: true")), nil)
	if want := `policies "open" and "strict" tie: they have host "api", any path and priority 0 in common`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
	if _, err = Parse([]byte(withPolicies("name: open, hosts: [api]", "name: strict, hosts: [x, api], priority: 1")), nil); err != nil {
		t.Errorf("with a priority: got %v", err)
	}
}

func TestWarningsTakeMoments(t *testing.T) {
	t.Parallel()
	policies := []string{"name: first, paths: [/]"}
	for i := range 1000 {
		policies = append(policies, fmt.Sprintf("name: p%d, hosts: [h%d.example, '*.h%d.example'], paths: [/a, /b]", i, i, i))
	}
	c, err := Parse([]byte(withPolicies(policies...)), nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	got := c.Warnings()
	if took := time.Since(began); len(got) != 1000 || took > 20*time.Second {
		t.Errorf("got %d warnings in %s, want 1000", len(got), took)
	}
	t.Log(time.Since(began))
}
