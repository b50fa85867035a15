package clientcert

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func certificate(tb testing.TB, dnsNames []string, uris ...string) *x509.Certificate {
	tb.Helper()
	c := &x509.Certificate{Raw: []byte("raw"), Subject: pkix.Name{CommonName: "ops.example.com"}, DNSNames: dnsNames, EmailAddresses: []string{"ops@example.com"}}
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil {
			tb.Fatal(err)
		}
		c.URIs = append(c.URIs, u)
	}
	return c
}

func TestANameMatchesTheAlternativeNamesOfACertificate(t *testing.T) {
	t.Parallel()
	const id = "spiffe://example.org/ops/olga"
	for _, test := range []struct {
		name string
		dns  []string
		uris []string
		as   string // "" for no match
	}{
		{"ops.example.com", []string{"ops.example.com"}, nil, "ops.example.com"},
		{"ops.example.com", []string{"x", "OPS.example.com"}, nil, "OPS.example.com"},
		{"OPS.example.com", []string{"ops.example.com"}, []string{id}, "ops.example.com"},
		{"ops.example.com", nil, nil, ""}, // the common name
		{"ops.example.com", []string{"*.example.com"}, nil, ""},
		{"ops.example.com", []string{"a.ops.example.com"}, nil, ""},
		{"ops.example.com", []string{"ops.example.com.evil.test"}, nil, ""},
		{"ops.example.com", nil, []string{"https://ops.example.com"}, ""},

		{id, nil, []string{id}, id},
		{id, nil, []string{id + "x"}, ""},
		{id, nil, []string{"spiffe://example.org/ops"}, ""},
		{id, nil, []string{"spiffe://example.com/ops/olga"}, ""},
		{id, []string{id}, nil, ""},
		{id, nil, []string{id, "spiffe://example.org/other"}, ""}, // not an SVID
		{id, nil, []string{"spiffe://example.org/ops/../ops/olga"}, ""},
		{id, nil, []string{id + "?x=y"}, ""},

		{"spiffe://example.org/*", nil, []string{id}, id},
		{"spiffe://example.org/*", nil, []string{"spiffe://example.org"}, "spiffe://example.org"},
		{"spiffe://example.org/*", nil, []string{"spiffe://example.org.evil.test/ops"}, ""},
		{"spiffe://example.org/*", nil, []string{"spiffe://evil.test/example.org/ops"}, ""},
		{"spiffe://example.org/*", nil, []string{"spiffe://user@example.org/ops"}, ""},
		{"spiffe://example.org/*", nil, []string{"spiffe://example.org:1/ops"}, ""},
		{"spiffe://example.org/*", nil, []string{"https://example.org/ops"}, ""},
		{"spiffe://example.org/*", nil, []string{"spiffe://evil.test/ops", id}, ""},
		{"spiffe://example.org/*", []string{"example.org"}, nil, ""},

		{"https://ops.example.com/olga", nil, []string{"https://x", "https://ops.example.com/olga"}, "https://ops.example.com/olga"},
		{"https://ops.example.com/olga", nil, []string{"https://ops.example.com/olga/"}, ""},
		{"https://ops.example.com/olga", nil, []string{"https://OPS.example.com/olga"}, ""},
		{"urn:ops:olga", nil, []string{"urn:ops:olga"}, "urn:ops:olga"},

		{"*", []string{"ops.example.com"}, []string{id}, id},
		{"*", []string{"ops.example.com"}, nil, "ops.example.com"},
		{"*", nil, nil, "sha256:d7439bee24773bcb"},
	} {
		n, err := Parse(test.name)
		if err != nil {
			t.Errorf("Parse(%q): %v", test.name, err)
			continue
		}
		as, ok := n.Match(certificate(t, test.dns, test.uris...))
		if as != test.as || ok != (test.as != "") {
			t.Errorf("%q, DNS %q, URIs %q: got %q, %t, want %q", test.name, test.dns, test.uris, as, ok, test.as)
		}
	}
	if as, ok := (Name{}).Match(certificate(t, []string{""}, "spiffe://example.org")); ok {
		t.Errorf("the zero Name matches, as %q", as)
	}
}

func TestOneOfTheNamesIsEnough(t *testing.T) {
	t.Parallel()
	names, err := ParseNames([]string{"ops.example.com", "spiffe://example.org/*"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		dns, uri string
		in       bool
	}{
		{"ops.example.com", "https://x", true},
		{"www.example.com", "spiffe://example.org/gateway", true},
		{"www.example.com", "spiffe://example.com/gateway", false},
	} {
		if err := names.Admit(certificate(t, []string{test.dns}, test.uri)); (err == nil) != test.in {
			t.Errorf("%s, %s: got %v, want to be let in: %t", test.dns, test.uri, err, test.in)
		}
	}
	if err := (Names{}).Admit(certificate(t, []string{"ops.example.com"})); err == nil {
		t.Error("an empty list of names admits a certificate")
	}
	if _, err := ParseNames([]string{"ops.example.com", "*.example.com", ""}); err == nil || !strings.Contains(err.Error(), "client_names[1]: ") || !strings.Contains(err.Error(), "client_names[2]: ") {
		t.Errorf("got %v, want both mistakes", err)
	}
}

func TestInvalidNamesAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "*.example.com", "ops.*", "**", "10.0.0.1", "::1", "[::1]", "ops example", "-ops", "ops..example", "ops.", "öps.example", "CN=ops", "ops@example.com",
		"spiffe://", "spiffe:///ops", "spiffe://*", "spiffe://*/ops", "spiffe://example.org/ops/*", "spiffe://example.org/o*", "spiffe://Example.org/ops", "SPIFFE://example.org/ops",
		"spiffe://example.org/", "spiffe://example.org//*", "spiffe://example.org/../x", "spiffe://u@example.org/x", "spiffe://example.org:1/x", "spiffe://example.org/x?y",
		"https://*.example.com", "://x", ":", "1:x", "http://[::1", "ops.example.com:443", "ops.example.com:",
	} {
		if n, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", text, n)
		}
	}
}

func TestPreciseNamesComeBeforeWideOnes(t *testing.T) {
	t.Parallel()
	var got []int
	for _, text := range []string{"*", "spiffe://example.org/*", "spiffe://example.org/ops"} {
		n, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n.Precision())
	}
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != 3 {
		t.Errorf("got %v, want them to ascend", got)
	}
	for _, text := range []string{"https://x/y", "ops.example.com"} {
		if n, err := Parse(text); err != nil || n.Precision() != got[2] {
			t.Errorf("%q: got %d, %v, want %d", text, n.Precision(), err, got[2])
		}
	}
}

// A valid name is never a wildcard by accident: it matches the certificate that has it, and
// no certificate without names.
func FuzzANameMatchesOnlyWhatItSays(f *testing.F) {
	for _, text := range []string{"ops.example.com", "spiffe://example.org/ops", "spiffe://example.org/*", "*", "https://x/y", "a*b", "urn:x", "*.x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil || n.Any() {
			return
		}
		if as, ok := n.Match(certificate(t, nil)); ok {
			t.Errorf("%q matches a certificate without names, as %q", text, as)
		}
		if as, ok := n.Match(certificate(t, []string{"other.test"}, "spiffe://other.test/x")); ok && !strings.EqualFold(text, as) && text != "spiffe://other.test/*" {
			t.Errorf("%q matches another certificate, as %q", text, as)
		}
	})
}
