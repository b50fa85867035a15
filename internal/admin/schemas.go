package admin

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/kong"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
)

// inSchemas returns the fields of an entity by its name in Kong, and what checks one on its own;
// no fields if it has no schema.
func (a *API) inSchemas(entity string) (fields []api.Field, check func(schema.Input) error) {
	switch entity {
	case "consumers":
		return a.consumers.fields, a.onItsOwn(a.consumers, checkConsumer)
	case "acls":
		return a.acls.fields, a.onItsOwn(a.acls, checkMembership)
	case "plugins":
		return schema.Plugin(), a.checkPlugin
	case "vault_auth_vaults":
		return a.vaults.fields, a.onItsOwn(a.vaults, checkVault)
	}
	return nil, nil
}

// onItsOwn checks a body as a new entity, with what does not depend on which others there are.
func (a *API) onItsOwn(e *entity, check checker) func(schema.Input) error {
	return func(in schema.Input) error {
		d, err := e.typedInput(withConsumerID(in), nil)
		if err != nil {
			return err
		}
		return check.of(a, d, nil, schema.Violations{})
	}
}

func (a *API) checkPlugin(in schema.Input) error {
	d, err := kong.ReadPlugin(in, "", nil)
	switch v := (schema.Violations{}); {
	case err != nil:
		return err
	case d.Text("name") == api.PluginACL:
		return a.aclPlugins.check.of(a, d, nil, v)
	default:
		checkPolicyFields(kong.PolicyOfPlugin(d, nil), v)
		return kong.InConfig(v.Err())
	}
}

func noSchema(entity string) error {
	return &api.Problem{Status: http.StatusNotFound, Message: fmt.Sprintf("No entity named '%s'", entity)}
}

func noPlugin(name string) error {
	return &api.Problem{Status: http.StatusNotFound, Message: fmt.Sprintf("No plugin named '%s'; there are: %s", name, strings.Join(kong.EnabledPlugins(), ", "))}
}

// schema answers with an empty schema for absent kinds: decK asks for the defaults of
// all kinds.
func (a *API) schema(c *call) (reply, error) {
	entity := c.param("entity")
	if fields, _ := a.inSchemas(entity); fields != nil {
		return ok(schema.Document{"fields": kong.SchemaFields(fields)}), nil
	}
	if _, isAbsent := kong.AbsentKind(entity); isAbsent {
		return ok(schema.Document{"fields": []string{}}), nil
	}
	return reply{}, noSchema(entity)
}

func (a *API) schemaOfPlugin(c *call) (reply, error) {
	if c.param("entity") != "plugins" {
		return reply{}, noSchema(c.param("entity") + "/" + c.param("name"))
	}
	fields := kong.PluginFields(c.param("name"))
	if fields == nil {
		return reply{}, noPlugin(c.param("name"))
	}
	return ok(schema.Document{"fields": kong.SchemaFields(fields)}), nil
}

// configSchema is the part of a plugin's schema that Kong had before /schemas.
func (a *API) configSchema(c *call) (reply, error) {
	for _, f := range kong.PluginFields(c.param("name")) {
		if f.Kind == api.Record {
			return ok(schema.Document{"fields": kong.SchemaFields(f.Fields)}), nil
		}
	}
	return reply{}, noPlugin(c.param("name"))
}

// validate checks an entity on its own: the entities that it refers to may be made
// later.
func (a *API) validate(c *call) (reply, error) {
	entity := c.param("entity")
	if c.param("name") != "validate" {
		return reply{}, notFound()
	}
	if k, isAbsent := kong.AbsentKind(entity); isAbsent {
		return reply{}, k.Refusal()
	}
	fields, check := a.inSchemas(entity)
	if fields == nil {
		return reply{}, noSchema(entity)
	}
	if err := check(c.input); err != nil {
		return reply{}, err
	}
	return ok(schema.Document{"message": "schema validation successful"}), nil
}

// withConsumerID reduces a reference with an id and other fields, such as decK sends, to its
// id.
func withConsumerID(in schema.Input) schema.Input {
	ref, _ := in.Values["consumer"].(map[string]any)
	id, _ := ref["id"].(string)
	if !authz.IsUUID(strings.ToLower(id)) {
		return in
	}
	return in.With("consumer", map[string]any{"id": id})
}
