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

// fieldsOf are those of the entities that have a schema, by their names in Kong.
func (a *API) fieldsOf(entity string) []api.Field {
	switch entity {
	case "consumers":
		return a.consumers.fields
	case "acls":
		return a.acls.fields
	case "plugins":
		return schema.Plugin()
	case "vault_auth_vaults":
		return a.vaults.fields
	}
	return nil
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
	if fields := a.fieldsOf(entity); fields != nil {
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
	if a.fieldsOf(entity) == nil {
		return reply{}, noSchema(entity)
	}
	if err := a.violations(entity, c.input); err != nil {
		return reply{}, err
	}
	return ok(schema.Document{"message": "schema validation successful"}), nil
}

func (a *API) violations(entity string, in schema.Input) error {
	v := schema.Violations{}
	switch entity {
	case "consumers":
		d, err := a.consumers.typedInput(in, nil)
		if err != nil {
			return err
		}
		if err := checkConsumer(a, d, nil, v); err != nil {
			return err
		}
	case "acls":
		d, err := a.acls.typedInput(withID(in, "consumer"), nil)
		if err != nil {
			return err
		}
		checkMembership(d, v)
	case "plugins":
		d, err := kong.ReadPlugin(in, "", nil)
		if err != nil {
			return err
		}
		if d.Text("name") == api.PluginACL {
			return errorOf(v, a.aclPlugins.check(a, d, nil, v))
		}
		checkPolicyFields(kong.PolicyOfPlugin(d, nil), v)
		return kong.InConfig(v.Err())
	case "vault_auth_vaults":
		d, err := a.vaults.typedInput(in, nil)
		if err != nil {
			return err
		}
		return errorOf(v, checkVault(a, d, nil, v))
	}
	return v.Err()
}

func errorOf(v schema.Violations, err error) error {
	if err != nil {
		return err
	}
	return v.Err()
}

// withID reduces a reference with an id and other fields, such as decK sends, to its
// id.
func withID(in schema.Input, name string) schema.Input {
	ref, _ := in.Values[name].(map[string]any)
	id, _ := ref["id"].(string)
	if !authz.IsUUID(strings.ToLower(id)) {
		return in
	}
	return in.With(name, map[string]any{"id": id})
}
