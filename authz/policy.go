package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Policy says which requests it governs and how they are authenticated. It
// is an instance of Kong's vault-auth plugin, with its acl, under the options
// of the same names. It is immutable once it is part of a [Snapshot]. The zero
// Policy is not usable; start from [DefaultPolicy].
type Policy struct {
	// ID is a UUID where the policy came from an API, else empty. Name is
	// unique. A route may name either.
	ID, Name string

	// Hosts and Paths select requests where the route names no policy: both
	// must match if both are given. A host is a name, or "*." and a name for
	// all names below it, in any case. A request with a port in its host is
	// governed by "name:port" or "name:*"; where only "name" is given it is
	// refused, because gateways differ in whether the port counts. A path is a
	// prefix that ends at a segment: /orders governs /orders and /orders/7, not
	// /orders2.
	//
	// Of several policies that select a request the most specific governs: by the
	// host that matches, a name before a wildcard, a longer wildcard before a
	// shorter one, one port or none before any port, and no host last; then by the
	// longest path that matches; then by Priority. See [Ties] for what is left.
	Hosts, Paths []string
	// IgnoreCase compares Paths in any case. A path that is compared as it is
	// comes before the same one in any case.
	IgnoreCase bool
	// Priority decides between policies that have the same host and path; the
	// higher one governs.
	Priority int
	// Default makes this the policy of requests that no other one selects. No
	// policy is the default without it.
	Default bool

	// Vault names the vault object that holds the credentials.
	Vault string

	// AccessTokenNames and SecretTokenNames are the names that the tokens go
	// by in header, query and body. A name with underscores also stands for
	// the same name with dashes.
	AccessTokenNames, SecretTokenNames []string
	// AuthorizationScheme says how the Authorization header carries tokens.
	AuthorizationScheme Scheme
	// TokensInBody also looks into form, multipart and JSON bodies.
	TokensInBody bool
	// HideCredentials keeps the tokens in headers and query from the upstream.
	HideCredentials bool
	// BodyCredentialsVisible acknowledges that tokens in the body cannot be
	// hidden: external authorization cannot change a body.
	BodyCredentialsVisible bool
	// HideCredentialIdentifier leaves X-Credential-Identifier, which carries
	// the access token, unset.
	HideCredentialIdentifier bool

	// Anonymous is the id or username of the consumer that stands in for
	// missing or bad credentials, never for an unavailable store. Empty means
	// that such requests are denied.
	Anonymous string

	// RunOnPreflight authenticates CORS preflights like any other request.
	RunOnPreflight bool
	// Preflight says what counts as a preflight.
	Preflight PreflightMode

	// Allow and Deny are ACL groups; one of the two at the most may be given.
	Allow, Deny []string
	// HideGroupsHeader leaves X-Consumer-Groups unset.
	HideGroupsHeader bool

	// Shadow decides and reports, but lets every request through, without
	// identity headers and with its credentials untouched.
	Shadow bool
	// Realm is the realm in WWW-Authenticate, which has none if it is empty.
	Realm string
	// OnError says how an unavailable store is answered.
	OnError OnError
	// Denial says what a denied client sees. Templates are what it becomes in a [Snapshot],
	// for the encoder: nil if it is zero.
	Denial    DenialOptions
	Templates *DenialTemplates
}

// PreflightMode says which requests are CORS preflights.
type PreflightMode string

// The preflight modes.
const (
	// PreflightStrict takes OPTIONS with Origin and
	// Access-Control-Request-Method, as the Fetch standard defines it.
	PreflightStrict PreflightMode = "strict"
	// PreflightAny takes every OPTIONS request, as Kong does.
	PreflightAny PreflightMode = "any"
)

// OnError says how an unavailable store is answered.
type OnError string

// The ways to answer.
const (
	// OnErrorDeny denies with 503: closed, whatever the gateway is set to do
	// about failures.
	OnErrorDeny OnError = "deny"
	// OnErrorResponse reports an error, which Envoy 1.37 and later treats by
	// its failure_mode_allow; older ones deny.
	OnErrorResponse OnError = "error_response"
	// OnErrorGRPC fails the call, which every Envoy treats by its
	// failure_mode_allow.
	OnErrorGRPC OnError = "grpc_error"
)

// DefaultPolicy returns a policy with Kong's defaults (those of Gateway 3.14
// and later, which hide credentials).
func DefaultPolicy() Policy {
	return Policy{
		AccessTokenNames: []string{"access_token"},
		SecretTokenNames: []string{"secret_token"},
		HideCredentials:  true,
		RunOnPreflight:   true,
		Preflight:        PreflightStrict,
		OnError:          OnErrorDeny,
	}
}

// maxNames bounds the names of one token: every request is searched for all of
// them.
const maxNames = 16

// maxPriority bounds priorities in both directions.
const maxPriority = 1_000_000

// Validate reports every mistake in the policy itself. [NewSnapshot] checks what depends
// on other entities.
func (p *Policy) Validate() error {
	errs := []error{p.validateSelection(), p.validateNames(), p.validateScheme()}
	if p.Name == "" {
		errs = append(errs, errors.New("name: must be set"))
	}
	if p.Vault == "" {
		errs = append(errs, errors.New("vault: must name a vault object"))
	}
	if p.TokensInBody && p.HideCredentials && !p.BodyCredentialsVisible {
		errs = append(errs, errors.New("tokens_in_body: an external authorizer cannot take tokens out of a body, so hide_credentials would not hold there; "+
			"set body_credentials_visible: true to accept that the upstream sees them, or hide_credentials: false"))
	}
	if len(p.Allow) > 0 && len(p.Deny) > 0 {
		errs = append(errs, errors.New("acl: give either allow or deny, not both"))
	}
	for _, g := range slices.Concat(p.Allow, p.Deny) {
		if strings.Contains(g, ",") {
			errs = append(errs, fmt.Errorf("acl: the group %q contains a comma, which no consumer's group has; give each group an entry of its own", g))
		}
	}
	if !slices.Contains([]PreflightMode{PreflightStrict, PreflightAny}, p.Preflight) {
		errs = append(errs, fmt.Errorf("preflight: %q is neither strict nor any", p.Preflight))
	}
	if !slices.Contains([]OnError{OnErrorDeny, OnErrorResponse, OnErrorGRPC}, p.OnError) {
		errs = append(errs, fmt.Errorf("on_error: %q is not one of deny, error_response, grpc_error", p.OnError))
	}
	errs = append(errs, headerSafe("realm", p.Realm))
	if strings.ContainsAny(p.Realm, `"\`) {
		errs = append(errs, fmt.Errorf("realm: %q contains a quote or a backslash", p.Realm))
	}
	errs = append(errs, p.validateDenial())
	return errors.Join(errs...)
}

func (p *Policy) validateSelection() error {
	var errs []error
	for _, h := range p.Hosts {
		if !isHostRule(h) {
			errs = append(errs, fmt.Errorf("hosts: %q is not a lower-case host name, or *. and one, with or without :port or :*", h))
		}
	}
	for _, path := range p.Paths {
		if clean, ok := canonicalPath(path); !ok || clean != path {
			errs = append(errs, fmt.Errorf("paths: %q is not a plain path: it must start with / and have no dot segment, no empty segment, no segment with a blank at an end or a dot at its end, no %%, ?, #, ; or backslash", path))
		}
	}
	if p.IgnoreCase && len(p.Paths) == 0 {
		errs = append(errs, errors.New("ignore_case: it applies to paths only; add paths, or remove ignore_case"))
	}
	if p.Priority < -maxPriority || p.Priority > maxPriority {
		errs = append(errs, fmt.Errorf("priority: %d is not between %d and %d", p.Priority, -maxPriority, maxPriority))
	}
	if p.Priority != 0 && len(p.Hosts)+len(p.Paths) == 0 {
		errs = append(errs, errors.New("priority: it applies to policies with hosts or paths only; add hosts or paths, or remove priority"))
	}
	return errors.Join(errs...)
}

func isHostRule(rule string) bool {
	rule, port, hasPort := strings.Cut(rule, ":")
	name, rest, ok := canonicalHost(strings.TrimPrefix(rule, "*."))
	return ok && rest == "" && name == strings.TrimPrefix(rule, "*.") && (!hasPort || port == anyPort || isPort(port))
}

func (p *Policy) validateNames() error {
	var errs []error
	taken := map[string]string{}
	check := func(field string, names []string) {
		if len(names) == 0 || len(names) > maxNames {
			errs = append(errs, fmt.Errorf("%s: give 1 to %d names", field, maxNames))
		}
		for _, name := range names {
			if !isTokenName(name) {
				errs = append(errs, fmt.Errorf("%s: %q: only letters, digits, _ and - are allowed, 1 to 64 of them", field, name))
				continue
			}
			key := canonicalName(name)
			if by, ok := taken[key]; ok && by != field {
				errs = append(errs, fmt.Errorf("%s: %q is a name of %s too", field, name, by))
			}
			if isReserved(key) {
				errs = append(errs, fmt.Errorf("%s: %q is a header with a meaning of its own", field, name))
			}
			taken[key] = field
		}
	}
	check("access_token_name", p.AccessTokenNames)
	check("secret_token_name", p.SecretTokenNames)
	return errors.Join(errs...)
}

// isTokenName allows what Kong allows in access_token_name and
// secret_token_name.
func isTokenName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for i := range len(name) {
		if c := name[i]; foldedByte(c) == '-' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
