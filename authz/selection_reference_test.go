package authz

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// chooseInOrder is what [Snapshot.choose] must come to: it goes over the
// policies one by one, as the documentation of [Policy] tells it.
func chooseInOrder(policies []*policy, fallback *policy, r *Request) (*policy, Reason) {
	byHost := slices.ContainsFunc(policies, func(p *policy) bool { return len(p.Hosts) > 0 })
	host, port, known := canonicalHost(r.Host)
	if byHost && !known {
		return nil, ReasonAmbiguousHost
	}
	path, plain := canonicalPath(r.Path)
	for _, p := range policies {
		governed, unclear := hostInOrder(p, host, port)
		switch {
		case unclear:
			return nil, ReasonAmbiguousHost
		case !governed:
			continue
		case len(p.Paths) > 0 && !plain:
			return nil, ReasonAmbiguousPath
		case pathInOrder(p, path):
			return p, ReasonUnset
		}
	}
	if fallback == nil {
		return nil, ReasonNoPolicy
	}
	return fallback, ReasonUnset
}

func hostInOrder(p *policy, host, port string) (governed, unclear bool) {
	if len(p.Hosts) == 0 {
		return true, false
	}
	for _, h := range p.Hosts {
		name, wanted, _ := strings.Cut(h, ":")
		suffix, wild := strings.CutPrefix(name, "*")
		if name != host && (!wild || len(host) <= len(suffix) || !strings.HasSuffix(host, suffix)) {
			continue
		}
		if wanted == port || wanted == anyPort {
			return true, false
		}
		unclear = unclear || wanted == ""
	}
	return false, unclear
}

func pathInOrder(p *policy, path string) bool {
	if len(p.Paths) == 0 {
		return true
	}
	for _, prefix := range p.Paths {
		rest, ok := strings.CutPrefix(path, prefix)
		if ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(prefix, "/")) {
			return true
		}
	}
	return false
}

func TestSelectionIsThatOfTheFirstPolicyInOrder(t *testing.T) {
	t.Parallel()
	names := rapid.SampledFrom([]string{"a", "b.a", "c.b.a", "c.b", "d.c.b.a", "aa"})
	rules := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"", "", "*."}).Draw(t, "wild") + names.Draw(t, "name") +
			rapid.SampledFrom([]string{"", "", ":1", ":2", ":*"}).Draw(t, "port")
	})
	prefixes := rapid.SampledFrom([]string{"/", "/x", "/x/", "/x/y", "/x/y/", "/xx", "/x/y/z"})
	hosts := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"", "", "e.", "."}).Draw(t, "below") + names.Draw(t, "name") +
			rapid.SampledFrom([]string{"", "", ":1", ":2", ":3", ":"}).Draw(t, "port")
	})
	targets := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"", "/x", "/x/y", "/xx", "/%78", "/x/y/z", "/q"}).Draw(t, "path") +
			rapid.SampledFrom([]string{"", "/", "//", "/%2f", "/r", "/y?z=/x"}).Draw(t, "end")
	})
	rapid.Check(t, func(t *rapid.T) {
		s := &Snapshot{selection: newSelection()}
		var policies []*policy
		for i := range rapid.IntRange(0, 8).Draw(t, "policies") {
			p := &policy{Policy: Policy{
				Name: fmt.Sprint(i), Hosts: rapid.SliceOfN(rules, 0, 3).Draw(t, "hosts"), Paths: rapid.SliceOfN(prefixes, 0, 3).Draw(t, "paths"),
			}}
			if err := p.validateSelection(); err != nil {
				t.Fatal(err)
			}
			policies = append(policies, p)
			s.selection.add(p)
		}
		if rapid.Bool().Draw(t, "default") {
			s.fallback = &policy{Policy: Policy{Name: "default"}}
		}
		for range 10 {
			r := &Request{HTTP: true, Host: hosts.Draw(t, "host"), Path: targets.Draw(t, "target")}
			got, reason := s.choose(r)
			want, wantReason := chooseInOrder(policies, s.fallback, r)
			if got != want || reason != wantReason {
				t.Fatalf("host %q, target %q: got %v %s, want %v %s", r.Host, r.Path, nameOf(got), reason, nameOf(want), wantReason)
			}
		}
	})
}

func nameOf(p *policy) string {
	if p == nil {
		return "none"
	}
	return p.Name
}

// What a client sends as host and path is looked up piece by piece: the pieces
// must not be more than what rules can have.
func TestSelectionIsQuickWhateverAClientSends(t *testing.T) {
	t.Parallel()
	s := &Snapshot{selection: newSelection()}
	s.selection.add(&policy{Policy: Policy{Hosts: []string{"*.example.com"}, Paths: []string{"/a/b/c"}}})
	s.selection.add(&policy{Policy: Policy{Paths: []string{"/a/b/c"}}})
	r := &Request{HTTP: true, Host: strings.Repeat("a.", 1<<15) + "example.com", Path: strings.Repeat("/a", 1<<15)}
	began := time.Now()
	for range 10 {
		_, _ = s.choose(r)
	}
	if took := time.Since(began) / 10; took > 100*time.Millisecond {
		t.Errorf("took %s", took)
	}
}
