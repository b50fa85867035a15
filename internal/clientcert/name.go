// Package clientcert decides which client certificates are admitted, by the names in them.
// It ignores the common name.
package clientcert

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// A Name matches certificates by a subject alternative name: a DNS name, a URI, all SPIFFE
// ids of a trust domain, or any certificate. The zero Name matches no certificate.
type Name struct {
	text   string
	kind   kind
	domain spiffeid.TrustDomain
}

type kind uint8

const (
	none kind = iota
	anyCertificate
	trustDomain
	spiffeID
	uri
	dns
)

// Parse reads a name: ops.example.com, spiffe://example.org/ops, another URI,
// spiffe://example.org/* for a trust domain, or * for any certificate.
func Parse(text string) (Name, error) {
	scheme, rest, isURI := strings.Cut(text, ":")
	switch {
	case text == "":
		return Name{}, errors.New("must be set")
	case text == "*":
		return Name{text: text, kind: anyCertificate}, nil
	case strings.EqualFold(scheme, "spiffe"):
		return parseSPIFFE(text)
	case isURI && strings.Trim(rest, "0123456789") == "":
		// Otherwise it would parse as a URI that no certificate has.
		return Name{}, fmt.Errorf("%q has a port, which names in a certificate do not have; omit the port", text)
	case isURI:
		u, err := url.Parse(text)
		if err != nil || !u.IsAbs() || u.String() != text || strings.Contains(text, "*") {
			return Name{}, fmt.Errorf("%q is not a URI that a certificate can have; copy it from the certificate, without a wildcard", text)
		}
		return Name{text: text, kind: uri}, nil
	}
	if !isDNSName(text) {
		return Name{}, fmt.Errorf("%q is not a name; give a DNS name without a wildcard, a URI, spiffe://TRUST-DOMAIN/* for a trust domain, or * for any certificate", text)
	}
	return Name{text: text, kind: dns}, nil
}

func parseSPIFFE(text string) (Name, error) {
	plain, all := strings.CutSuffix(text, "/*")
	id, err := spiffeid.FromString(plain)
	switch {
	case err != nil:
		return Name{}, fmt.Errorf("%q is not a SPIFFE id: %w", text, err)
	case !all:
		return Name{text: text, kind: spiffeID}, nil
	case id.Path() != "":
		return Name{}, fmt.Errorf("%q: * can only stand for a whole trust domain, like spiffe://%s/*", text, id.TrustDomain().Name())
	}
	return Name{text: text, kind: trustDomain, domain: id.TrustDomain()}, nil
}

// isDNSName says whether a certificate can contain a text as the name of a single host.
func isDNSName(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// String returns the name as it was parsed.
func (n Name) String() string { return n.text }

// Any says whether the name matches every certificate.
func (n Name) Any() bool { return n.kind == anyCertificate }

// Precision is larger for a name that matches fewer certificates.
func (n Name) Precision() int { return min(int(n.kind), int(spiffeID)) }

// Match says whether the name matches a certificate, and returns the matching name in the
// certificate, which must have been verified.
func (n Name) Match(c *x509.Certificate) (as string, ok bool) {
	switch n.kind {
	case anyCertificate:
		return Identity(c), true
	case trustDomain, spiffeID:
		id, ok := idOf(c)
		if ok && (n.kind == trustDomain && id.MemberOf(n.domain) || id.String() == n.text) {
			return id.String(), true
		}
	case uri:
		for _, u := range c.URIs {
			if u.String() == n.text {
				return n.text, true
			}
		}
	case dns:
		for _, name := range c.DNSNames {
			// Both are ASCII, so only letters of the other case are equal.
			if strings.EqualFold(name, n.text) {
				return name, true
			}
		}
	case none:
	}
	return "", false
}

// idOf returns the SPIFFE id of a certificate, which must be its only URI (X.509-SVID,
// section 2).
func idOf(c *x509.Certificate) (spiffeid.ID, bool) {
	if len(c.URIs) != 1 {
		return spiffeid.ID{}, false
	}
	id, err := spiffeid.FromURI(c.URIs[0])
	return id, err == nil
}

// Identity returns a name of a certificate for logs: the first URI, otherwise the first DNS
// name, otherwise the beginning of the fingerprint.
func Identity(c *x509.Certificate) string {
	switch {
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(c.Raw))[:len("sha256:")+16]
}

// Names admit a certificate if one of them matches.
type Names []Name

// ParseNames parses names as [Parse] does, and reports every mistake.
func ParseNames(texts []string) (Names, error) {
	var names Names
	var errs []error
	for i, text := range texts {
		n, err := Parse(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("client_names[%d]: %w", i, err))
		}
		names = append(names, n)
	}
	return names, errors.Join(errs...)
}

// Admit returns an error if no name matches a verified certificate.
func (l Names) Admit(c *x509.Certificate) error {
	for _, n := range l {
		if _, ok := n.Match(c); ok {
			return nil
		}
	}
	return fmt.Errorf("the client certificate of %q has no name of client_names", Identity(c))
}
