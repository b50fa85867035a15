package authz

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// searchHeadersSlowly is what searchHeaders must find, written without any of
// its shortcuts.
func searchHeadersSlowly(p *policy, r *Request) (found findings, nonCanonical []string) {
	tokens := slices.Concat(p.AccessTokenNames, p.SecretTokenNames)
	if p.AuthorizationScheme != SchemeNone {
		tokens = append(tokens, "authorization")
	}
	for _, h := range r.Headers {
		for t, names := range [tokenCount][]string{p.AccessTokenNames, p.SecretTokenNames} {
			for _, name := range names {
				name = strings.ToLower(name)
				if name == "authorization" && p.AuthorizationScheme != SchemeNone {
					continue
				}
				if h.Name == name || h.Name == strings.ReplaceAll(name, "_", "-") {
					found[t].add(h.Value)
					break
				}
			}
		}
		if h.Name == "authorization" && p.AuthorizationScheme != SchemeNone {
			found.addAuthorization(p.AuthorizationScheme, tokenAccess, h.Value)
		}
		listed := identitySpelling(h.Name) || p.hides && slices.Contains(p.hidden, h.Name)
		folded := foldedName(h.Name)
		ours := isIdentity(folded)
		for _, name := range tokens {
			ours = ours || p.hides && foldedName(name) == folded
		}
		if ours && !listed {
			nonCanonical = append(nonCanonical, h.Name)
		}
	}
	return found, nonCanonical
}

func identitySpelling(name string) bool {
	for _, header := range identityHeaders {
		if slices.Contains(spellings(header), name) {
			return true
		}
	}
	return false
}

// FuzzSearchHeaders states: the search of headers finds what a plain one finds,
// and every name of ours that it does not find is listed ahead of requests.
func FuzzSearchHeaders(f *testing.F) {
	for _, s := range []string{
		"access_token", "access-token", "ACCESS_TOKEN", "access.token", "x-consumer-id", "x.consumer.id", "x_consumer-id", "xéconsumer-id", "x-consumer-iD",
		"x\xffconsumer-id", "_odd_", "-odd-", "é_odd-", "!odd!", "a_b_c_d_e_f", "a-b_c-d_e-f", "a.b_c-d_e-f", "", "-", "x-authenticated-groups", "authorization",
	} {
		f.Add(s, "secret_token")
	}
	var policies []*policy
	for _, names := range [][]string{{"access_token"}, {"Key", "_odd_"}, {"a_b_c_d_e_f"}, {"-"}} {
		for _, hide := range []bool{true, false} {
			p := DefaultPolicy()
			p.AccessTokenNames, p.HideCredentials = names, hide
			policies = append(policies, compile(p, nil))
		}
	}
	for _, scheme := range []func(*Policy){withBasic, withBearer} {
		p := DefaultPolicy()
		scheme(&p)
		policies = append(policies, compile(p, nil))
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		r := get("/", a, "1", b, "2", strings.ToLower(a), "3")
		for _, p := range policies {
			found, nonCanonical := p.searchHeaders(r)
			wantFound, wantNonCanonical := searchHeadersSlowly(p, r)
			if found != wantFound {
				t.Errorf("%q in %q: found %+v, want %+v", p.AccessTokenNames, r.Headers, found, wantFound)
			}
			// What is listed anyway does no harm here.
			nonCanonical = slices.DeleteFunc(nonCanonical, func(name string) bool { return slices.Contains(p.hidden, name) })
			if diff := cmp.Diff(wantNonCanonical, nonCanonical, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%q, hidden %t, in %q: non-canonical names (-want +got):\n%s", p.AccessTokenNames, p.hides, r.Headers, diff)
			}
		}
	})
}

func TestNamesOfParametersAreListedOnceInAnyOrder(t *testing.T) {
	t.Parallel()
	p := DefaultPolicy()
	p.AccessTokenNames, p.SecretTokenNames = []string{"access_token", "key"}, []string{"secret_token", "Secret", "s-s"}
	n := newTokenNames(p.AccessTokenNames, p.SecretTokenNames, SchemeNone)
	all := []string{"access_token", "access-token", "key", "secret_token", "secret-token", "Secret", "s-s", "%6bey", "s%2Ds", "se%63ret_token"}
	for _, a := range all {
		for _, b := range all {
			for _, c := range all {
				var names []string
				want := map[string]bool{a: true, b: true, c: true}
				for _, name := range []string{a, b, c, a} {
					names = n.withName(names, name)
				}
				if len(names) != len(want) {
					t.Fatalf("of %q, %q, %q: got %q", a, b, c, names)
				}
				for _, name := range names {
					if !want[name] {
						t.Fatalf("of %q, %q, %q: got %q", a, b, c, names)
					}
				}
			}
		}
	}
}

func TestHeadersThatCannotMatterArePassedOverByTheirEdges(t *testing.T) {
	t.Parallel()
	e := newEdges([]string{"access-token", "x-consumer-id"})
	for name, want := range map[string]bool{
		"access-token": true, "ACCESS_TOKEN": true, "x.consumer.id": true, "x-consumer-id": true, "ad": true,
		"": false, "accept": false, "cookie": false, "x-request-ip": false, "user-agent-n": false, "d": false, "x": false,
	} {
		if got := e.match(name); got != want {
			t.Errorf("%q: got %t, want %t", name, got, want)
		}
	}
}

func TestManyNamesOfParametersAreNoLongerComparedWithEachOther(t *testing.T) {
	t.Parallel()
	n := newTokenNames([]string{"access_token"}, []string{"secret_token"}, SchemeNone)
	names := make([]string, manySpellings)
	if got := n.withName(names, ""); len(got) != manySpellings {
		t.Errorf("one of %d names is listed again", manySpellings)
	}
	names = append(names, "")
	if got := n.withName(names, ""); len(got) != manySpellings+2 {
		t.Errorf("a name is compared with %d others", manySpellings+1)
	}
}

// A client that sends thousands of non-canonical names, or ways to write a name, must not
// make each of them cost as much as all before it.
func TestManyOddNamesTakeLinearSpace(t *testing.T) { //nolint:paralleltest // it counts what is allocated
	const n = 4096
	p := compile(DefaultPolicy(), nil)
	r := Request{HTTP: true, Path: "/?"}
	for i := range n {
		r.Headers = append(r.Headers, Header{Name: "x.consumer.id"})
		for bit, letter := range []byte("access_token") {
			if i&(1<<bit) != 0 {
				r.Path += fmt.Sprintf("%%%02x", letter)
			} else {
				r.Path += string(letter)
			}
		}
		r.Path += "=1&"
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	x := p.extract(&r, DefaultGrammar())
	runtime.ReadMemStats(&after)
	if len(x.nonCanonical) != n || len(x.parameters) != n {
		t.Fatalf("got %d non-canonical names and %d parameters, want %d of each", len(x.nonCanonical), len(x.parameters), n)
	}
	// Two slices of n strings that grow, and n names that are decoded. Copied
	// for each name, they would take over 100 MB each.
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("%d names took %d bytes", n, took)
	}
}
