package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// A Client calls the API. Its errors are [*Problem] where the API answered with
// one; they hold no secret. It is safe for concurrent use.
type Client struct {
	base, token string
	http        *http.Client

	// Consumers, ACLs, Vaults, Policies and Plugins are the entities. ACLs are
	// made and deleted by [Client.AddToGroup] and [Client.RemoveFromGroup].
	Consumers Collection[Consumer]
	ACLs      Collection[ACL]
	Vaults    Collection[Vault]
	Policies  Collection[Policy]
	Plugins   Collection[Plugin]
}

// NewClient returns a client of the API at a URL like http://127.0.0.1:9192.
// token is the bearer token, "" for none. hc has a timeout and the TLS that is
// wanted; it must not follow redirects, which would take the token along.
func NewClient(base, token string, hc *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("the URL of the admin API must be http:// or https:// with a host, like http://127.0.0.1:9192")
	}
	c := &Client{base: strings.TrimSuffix(base, "/"), token: token, http: hc}
	c.Consumers = Collection[Consumer]{c, consumersPath}
	c.ACLs = Collection[ACL]{c, "/acls"}
	c.Vaults = Collection[Vault]{c, "/vault-auth"}
	c.Policies = Collection[Policy]{c, "/policies"}
	c.Plugins = Collection[Plugin]{c, "/plugins"}
	return c, nil
}

// A Collection is all entities of one kind.
type Collection[T any] struct {
	client *Client
	path   string
}

// List returns all of them, page by page.
func (s Collection[T]) List(ctx context.Context) ([]T, error) {
	return listAll[T](ctx, s.client, s.path, nil)
}

// First returns those of the first page, a thousand at the most.
func (s Collection[T]) First(ctx context.Context) (first []T, err error) {
	err = eachPage(ctx, s.client, s.path, nil, func(page []T) bool {
		first = page
		return false
	})
	return first, err
}

// Each goes through all of them, page by page, until yield returns false.
func (s Collection[T]) Each(ctx context.Context, yield func(*T) bool) error {
	return eachPage(ctx, s.client, s.path, nil, func(page []T) bool {
		for i := range page {
			if !yield(&page[i]) {
				return false
			}
		}
		return true
	})
}

// Get returns one by id or name.
func (s Collection[T]) Get(ctx context.Context, idOrName string) (T, error) {
	return send[T](ctx, s.client, http.MethodGet, s.path+segment(idOrName), nil)
}

// Create makes one; with an id, under that id.
func (s Collection[T]) Create(ctx context.Context, entity T) (T, error) {
	return send[T](ctx, s.client, http.MethodPost, s.path, entity)
}

// Put makes or replaces the one with the id or name.
func (s Collection[T]) Put(ctx context.Context, idOrName string, entity T) (T, error) {
	return send[T](ctx, s.client, http.MethodPut, s.path+segment(idOrName), entity)
}

// Patch changes fields of one; a nil value unsets a field.
func (s Collection[T]) Patch(ctx context.Context, idOrName string, fields map[string]any) (T, error) {
	return send[T](ctx, s.client, http.MethodPatch, s.path+segment(idOrName), fields)
}

// Delete deletes one. Deleting one that does not exist is not an error.
func (s Collection[T]) Delete(ctx context.Context, idOrName string) error {
	return s.client.do(ctx, http.MethodDelete, s.path+segment(idOrName), nil, nil)
}

// SearchConsumers lists the consumers whose username, custom id or group contains a text, in
// any case, or whose id begins with it; all for "".
func (c *Client) SearchConsumers(ctx context.Context, text string) ([]Consumer, error) {
	filter := url.Values{}
	if text != "" {
		filter.Set("search", text)
	}
	return listAll[Consumer](ctx, c, consumersPath, filter)
}

// CreateConsumer is the creation of a consumer as an operation of a batch.
func CreateConsumer(consumer Consumer) Operation {
	return Operation{http.MethodPost, consumersPath, consumer}
}

// AddToGroup is [Client.AddToGroup] as an operation of a batch.
func AddToGroup(consumer string, acl ACL) Operation {
	return Operation{http.MethodPost, groupsPath(consumer), unbound(acl)}
}

// MaxOperations is how many operations a batch may have.
const MaxOperations = 1000

// An Operation is a change that is made in a [Client.Batch].
type Operation struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   any    `json:"body,omitempty"`
}

// Batch makes changes together, [MaxOperations] at the most. They run at the same time,
// in no order. failures has the error of each one, nil for those that are made; err is
// set where the outcome of none of them is known.
func (c *Client) Batch(ctx context.Context, operations []Operation) (failures []error, err error) {
	answer, err := send[struct {
		Answers []struct {
			Status int             `json:"status"`
			Body   json.RawMessage `json:"body,omitempty"`
		} `json:"answers"`
	}](ctx, c, http.MethodPost, "/batch", map[string]any{"operations": operations})
	if err != nil {
		return nil, err
	}
	if len(answer.Answers) != len(operations) {
		return nil, errors.New("the answer of the admin API is not what it should be; is the URL that of vault-authz?")
	}
	failures = make([]error, len(operations))
	for i, a := range answer.Answers {
		if a.Status < 200 || a.Status >= 300 {
			failures[i] = problemOf(a.Status, a.Body)
		}
	}
	return failures, nil
}

// Groups lists the groups of a consumer.
func (c *Client) Groups(ctx context.Context, consumer string) ([]ACL, error) {
	return listAll[ACL](ctx, c, groupsPath(consumer), nil)
}

// AddToGroup adds a consumer to a group.
func (c *Client) AddToGroup(ctx context.Context, consumer string, acl ACL) (ACL, error) {
	return send[ACL](ctx, c, http.MethodPost, groupsPath(consumer), unbound(acl))
}

const consumersPath = "/consumers"

func groupsPath(consumer string) string { return consumersPath + segment(consumer) + "/acls" }

// unbound is a membership without the consumer, which the path names.
func unbound(acl ACL) ACL {
	acl.Consumer = nil
	return acl
}

// RemoveFromGroup removes a consumer from a group.
func (c *Client) RemoveFromGroup(ctx context.Context, consumer, group string) error {
	return c.do(ctx, http.MethodDelete, groupsPath(consumer)+segment(group), nil, nil)
}

// Credentials lists the credentials of a vault object.
func (c *Client) Credentials(ctx context.Context, vault string) ([]Credential, error) {
	return listAll[Credential](ctx, c, credentialsPath(vault), nil)
}

// CredentialsByFingerprint lists the credentials of a vault object whose access token has a
// fingerprint, see [authz.Fingerprint].
func (c *Client) CredentialsByFingerprint(ctx context.Context, vault, fingerprint string) ([]Credential, error) {
	return listAll[Credential](ctx, c, credentialsPath(vault), url.Values{"fingerprint": {fingerprint}})
}

// ConsumerCredentials lists the credentials of a consumer in all vault objects.
func (c *Client) ConsumerCredentials(ctx context.Context, consumer string) ([]Credential, error) {
	return listAll[Credential](ctx, c, "/consumers"+segment(consumer)+"/credentials", nil)
}

// Credential returns one credential without its secret.
func (c *Client) Credential(ctx context.Context, vault, accessToken string) (Credential, error) {
	return enveloped(ctx, c, http.MethodGet, tokenPath(vault, accessToken), nil)
}

// CreateCredential makes a credential of a consumer, by id or username. Tokens
// that are not given are random; the answer has them. A credential that exists with
// another secret is a [*Problem] with status 409.
func (c *Client) CreateCredential(ctx context.Context, vault, consumer string, credential Credential) (Credential, error) {
	credential.Consumer = nil
	return enveloped(ctx, c, http.MethodPost, credentialsPath(vault), struct {
		Credential
		Consumer string `json:"consumer"`
	}{credential, consumer})
}

// PatchCredential changes ttl, expires_at, not_before or disabled.
func (c *Client) PatchCredential(ctx context.Context, vault, accessToken string, fields map[string]any) (Credential, error) {
	return enveloped(ctx, c, http.MethodPatch, tokenPath(vault, accessToken), fields)
}

// RotateCredential replaces the secret of a credential; the answer has it.
func (c *Client) RotateCredential(ctx context.Context, vault, accessToken string, r Rotation) (Credential, error) {
	return enveloped(ctx, c, http.MethodPost, tokenPath(vault, accessToken)+"/rotate", r)
}

// Rehash hashes the secrets of one page of credentials. next is the page after it, which is
// to be given to the next call, "" for none and for the first page.
func (c *Client) Rehash(ctx context.Context, vault string, r Rehash, next string) (report Rehashed, after string, err error) {
	path := "/vault-auth" + segment(vault) + "/rehash"
	page, err := send[struct {
		Data Rehashed `json:"data"`
		Next *string  `json:"next"`
	}](ctx, c, http.MethodPost, cmp.Or(next, path+"?size=500"), r)
	switch {
	case err != nil || page.Next == nil:
		return page.Data, "", err
	case !strings.HasPrefix(*page.Next, path):
		return page.Data, "", errElsewhere
	}
	return page.Data, *page.Next, nil
}

// DeleteCredential revokes a credential. One that is not there is a [*Problem]
// with status 404.
func (c *Client) DeleteCredential(ctx context.Context, vault, accessToken string) error {
	return c.do(ctx, http.MethodDelete, tokenPath(vault, accessToken), nil, nil)
}

func credentialsPath(vault string) string { return "/vault-auth" + segment(vault) + "/credentials" }

func tokenPath(vault, accessToken string) string {
	return credentialsPath(vault) + "/token" + segment(accessToken)
}
