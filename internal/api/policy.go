package api

import (
	"reflect"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/fieldcopy"
)

// A Policy says which requests it governs and how they are authenticated. A field of
// [authz.Policy] with the same name, or the one that the tag field names, is what an
// option does; a field that is nil has the default of [authz.DefaultPolicy].
type Policy struct {
	ID                       string        `json:"id,omitempty" yaml:"id,omitempty" rule:"check=uuid" doc:"UUID: a second name for routes to refer to"`
	Name                     string        `json:"name,omitempty" yaml:"name" rule:"required,check=name" flag:": NAME to have from now on" doc:"name: what routes refer to (context_extensions: policy)"`
	Default                  *bool         `json:"default,omitempty" yaml:"default,omitempty" flag:"" doc:"switch: govern requests that no other policy selects; without it they are denied"`
	Hosts                    []string      `json:"hosts,omitempty" yaml:"hosts,omitempty" flag:"host: HOST that it governs" doc:"list: govern requests for these hosts, *.example.com for all below"`
	Paths                    []string      `json:"paths,omitempty" yaml:"paths,omitempty" flag:"path: PATH that it governs with all below" doc:"list: govern requests below these paths"`
	IgnoreCase               *bool         `json:"ignore_case,omitempty" yaml:"ignore_case,omitempty" flag:"" doc:"switch: compare paths in any case, for an upstream that does"`
	Priority                 *int          `json:"priority,omitempty" yaml:"priority,omitempty" rule:"min=-1000000,max=1000000" flag:": NUMBER that decides between policies with the same host and path; the higher one governs" doc:"number: decides between policies with the same host and path; the higher one governs"`
	Vault                    *Ref          `json:"vault,omitempty" yaml:"vault" field:"-" rule:"required,key=name,plugin=vault-auth" flag:": NAME or id of the vault object with the credentials" doc:"name: the vault object with the credentials"`
	AccessTokenName          Names         `json:"access_token_name,omitempty" yaml:"access_token_name,omitempty" field:"AccessTokenNames" rule:"plugin=vault-auth" flag:": NAME of the access token in requests" doc:"name or list: of the header, query parameter or body field; _ also matches -"`
	SecretTokenName          Names         `json:"secret_token_name,omitempty" yaml:"secret_token_name,omitempty" field:"SecretTokenNames" rule:"plugin=vault-auth" flag:": NAME of the secret token in requests" doc:"name or list: the same for the secret token"`
	AuthorizationScheme      *string       `json:"authorization_scheme,omitempty" yaml:"authorization_scheme,omitempty" rule:"oneof=bearer|basic" flag:"" doc:"word: how the Authorization header carries tokens: bearer for the token that has authorization among its names, basic for access token and secret token as user and password; empty for neither"`
	TokensInBody             *bool         `json:"tokens_in_body,omitempty" yaml:"tokens_in_body,omitempty" rule:"plugin=vault-auth" flag:"" doc:"switch: also look in form, multipart and JSON bodies"`
	BodyCredentialsVisible   *bool         `json:"body_credentials_visible,omitempty" yaml:"body_credentials_visible,omitempty" rule:"plugin=vault-auth,ours" flag:"" doc:"switch: accept that tokens in a body cannot be hidden"`
	HideCredentials          *bool         `json:"hide_credentials,omitempty" yaml:"hide_credentials,omitempty" rule:"plugin=vault-auth" flag:"" doc:"switch: strip the tokens from headers and query"`
	HideCredentialIdentifier *bool         `json:"hide_credential_identifier,omitempty" yaml:"hide_credential_identifier,omitempty" flag:"" doc:"switch: do not send X-Credential-Identifier (the access token)"`
	Anonymous                *string       `json:"anonymous,omitempty" yaml:"anonymous,omitempty" rule:"plugin=vault-auth" flag:": CONSUMER that requests without a good credential count as" doc:"id or username: of the consumer for requests with missing or bad credentials"`
	RunOnPreflight           *bool         `json:"run_on_preflight,omitempty" yaml:"run_on_preflight,omitempty" rule:"plugin=vault-auth" flag:"" doc:"switch: authenticate CORS preflights too"`
	Preflight                *string       `json:"preflight,omitempty" yaml:"preflight,omitempty" rule:"oneof=strict|any" flag:"" doc:"word: strict for real CORS preflights, any for every OPTIONS request as in Kong"`
	ACL                      *PolicyACL    `json:"acl,omitempty" yaml:"acl,omitempty"`
	HideGroupsHeader         *bool         `json:"hide_groups_header,omitempty" yaml:"hide_groups_header,omitempty" rule:"plugin=acl" flag:"" doc:"switch: do not send X-Consumer-Groups"`
	Shadow                   *bool         `json:"shadow,omitempty" yaml:"shadow,omitempty" flag:"" doc:"switch: decide and report, and let every request through"`
	Realm                    *string       `json:"realm,omitempty" yaml:"realm,omitempty" flag:": REALM in WWW-Authenticate" doc:"text: realm in WWW-Authenticate"`
	OnError                  *string       `json:"on_error,omitempty" yaml:"on_error,omitempty" rule:"oneof=deny|error_response|grpc_error" flag:"" doc:"word: answer to an unavailable Vault: deny (503), or error_response / grpc_error to let Envoy's failure_mode_allow decide"`
	Denial                   *PolicyDenial `json:"denial,omitempty" yaml:"denial,omitempty"`
	Tags                     []string      `json:"tags,omitempty" yaml:"-" rule:"check=tag" flag:"tag: TAG"`
	CreatedAt                int64         `json:"created_at,omitempty" yaml:"-" rule:"time"`
	UpdatedAt                int64         `json:"updated_at,omitempty" yaml:"-" rule:"time"`
}

// A PolicyACL has one of the two lists at the most.
type PolicyACL struct {
	Allow []string `json:"allow,omitempty" yaml:"allow,omitempty" rule:"check=group" flag:": GROUP that is let in, and no other" doc:"list: groups, one of which is needed"`
	Deny  []string `json:"deny,omitempty" yaml:"deny,omitempty" rule:"check=group" flag:": GROUP that is kept out" doc:"list: groups that are refused"`
}

// A PolicyDenial says what a denied client sees. What is not given is as for all policies.
type PolicyDenial struct {
	Unauthenticated *PolicyUnauthenticated `json:"unauthenticated,omitempty" yaml:"unauthenticated,omitempty"`
	Forbidden       *PolicyForbidden       `json:"forbidden,omitempty" yaml:"forbidden,omitempty"`
	Unavailable     *PolicyUnavailable     `json:"unavailable,omitempty" yaml:"unavailable,omitempty"`
	Body            *PolicyDenialBody      `json:"body,omitempty" yaml:"body,omitempty"`
	Docs            string                 `json:"docs,omitempty" yaml:"docs,omitempty" flag:"denial-docs: URL of a page about your credentials, as docs in WWW-Authenticate of a 401" doc:"URL: of a page about your credentials, as docs in WWW-Authenticate of a 401"`
}

// A PolicyUnauthenticated is for requests without a good credential.
type PolicyUnauthenticated struct {
	Status  int    `json:"status,omitempty" yaml:"status,omitempty" rule:"oneof=401|403|404" flag:"denial-unauthenticated-status: STATUS for requests without a good credential: 401 (if it is not given), 403, or 404 to hide that there is something" doc:"status: for requests without a good credential: 401 (if it is not given), 403, or 404 to hide that there is something"`
	Message string `json:"message,omitempty" yaml:"message,omitempty" flag:"denial-unauthenticated-message: TEXT for requests without a good credential" doc:"text: what such a client is told"`
}

// A PolicyForbidden is for good credentials that may not do this.
type PolicyForbidden struct {
	Status  int    `json:"status,omitempty" yaml:"status,omitempty" rule:"oneof=403|404" flag:"denial-forbidden-status: STATUS for consumers that the acl refuses: 403 (if it is not given), or 404 to hide that there is something" doc:"status: for consumers that the acl refuses: 403 (if it is not given), or 404 to hide that there is something"`
	Message string `json:"message,omitempty" yaml:"message,omitempty" flag:"denial-forbidden-message: TEXT for consumers that the acl refuses" doc:"text: what such a client is told"`
}

// A PolicyUnavailable is for requests that could not be decided.
type PolicyUnavailable struct {
	Status  int    `json:"status,omitempty" yaml:"status,omitempty" rule:"oneof=503|429" flag:"denial-unavailable-status: STATUS while Vault does not answer: 503 (if it is not given) or 429" doc:"status: while Vault does not answer: 503 (if it is not given) or 429"`
	Message string `json:"message,omitempty" yaml:"message,omitempty" flag:"denial-unavailable-message: TEXT while Vault does not answer" doc:"text: what such a client is told"`
}

// A PolicyDenialBody has the templates of the bodies.
type PolicyDenialBody struct {
	JSON     string `json:"json,omitempty" yaml:"json,omitempty" flag:"denial-json: TEMPLATE of the body of a denial in JSON" doc:"template: body of a denial in JSON"`
	JSONType string `json:"json_type,omitempty" yaml:"json_type,omitempty" flag:"denial-json-type: TYPE of that body instead of application/json, such as application/problem+json" doc:"media type: of that body instead of application/json, such as application/problem+json"`
	HTML     string `json:"html,omitempty" yaml:"html,omitempty" flag:"denial-html: TEMPLATE of the body of a denial in HTML" doc:"template: body of a denial in HTML"`
	XML      string `json:"xml,omitempty" yaml:"xml,omitempty" flag:"denial-xml: TEMPLATE of the body of a denial in XML" doc:"template: body of a denial in XML"`
	Text     string `json:"text,omitempty" yaml:"text,omitempty" flag:"denial-text: TEMPLATE of the body of a denial in plain text" doc:"template: body of a denial in plain text"`
}

// DefaultPolicy returns a policy with the default of each option.
func DefaultPolicy() Policy {
	p := authz.DefaultPolicy()
	return PolicyOf(&p)
}

// policyFields are the fields of a policy here and there.
var policyFields = fieldcopy.Of(reflect.TypeFor[Policy](), reflect.TypeFor[authz.Policy]())

// Authz returns the policy as the decision has it. An option that is not given has its
// default. The vault object is named, not referred to by its id.
func (p *Policy) Authz() authz.Policy {
	out := authz.DefaultPolicy()
	policyFields.Forth(p, &out)
	if p.Vault != nil {
		out.Vault = p.Vault.Name
	}
	return out
}

// PolicyOf is the opposite of [Policy.Authz]. It gives every option.
func PolicyOf(p *authz.Policy) Policy {
	var out Policy
	policyFields.Back(&out, p)
	if p.Vault != "" {
		out.Vault = &Ref{Name: p.Vault}
	}
	return out
}
