package admin

import (
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
)

// A schemaField is a field as Kong's schemas describe it.
type schemaField struct {
	Type      string                   `json:"type"`
	Required  bool                     `json:"required,omitempty"`
	Default   any                      `json:"default,omitempty"`
	OneOf     []string                 `json:"one_of,omitempty"`
	Between   []int64                  `json:"between,omitempty"`
	UUID      bool                     `json:"uuid,omitempty"`
	Auto      bool                     `json:"auto,omitempty"`
	Encrypted bool                     `json:"encrypted,omitempty"`
	Reference string                   `json:"reference,omitempty"`
	Elements  *schemaField             `json:"elements,omitempty"`
	Fields    []map[string]schemaField `json:"fields,omitempty"`
}

var schemaTypes = map[api.Kind]string{
	api.Text: "string", api.Integer: "integer", api.Boolean: "boolean", api.List: "set", api.NameList: "string",
	api.Reference: "foreign", api.Record: "record",
}

// referenced has the kind of entity that a reference of this name points to, except in
// the config of a plugin.
var referenced = map[string]string{"consumer": "consumers", "service": "services", "route": "routes"}

// schemaFields describes fields as Kong does, with the defaults that answers show.
func schemaFields(fields []api.Field) []map[string]schemaField {
	all := make([]map[string]schemaField, 0, len(fields))
	for i := range fields {
		f := &fields[i]
		s := schemaField{Type: schemaTypes[f.Kind], Required: f.Required || f.Kind == api.Record, Encrypted: f.Secret}
		if f.Kind != api.Boolean {
			s.OneOf = f.OneOf
		}
		s.Default = shown([]api.Field{*f}, document{f.Name: f.Default})[f.Name]
		if f.Max != 0 {
			s.Between = []int64{f.Min, f.Max}
		}
		switch {
		case f.Name == "id":
			s.UUID, s.Auto = true, true
		case f.Time:
			s.Auto = true
		case f.Kind == api.List:
			s.Elements = &schemaField{Type: "string"}
		case f.Kind == api.Reference && referenced[f.Name] == "":
			// A record, as in answers: if the schema says foreign, decK replaces
			// the id by the default.
			s.Type, s.Fields = schemaTypes[api.Record], []map[string]schemaField{{"id": {Type: "string", UUID: true}}}
		case f.Kind == api.Reference:
			s.Reference = referenced[f.Name]
		case f.Kind == api.Record:
			s.Default, s.Fields = nil, schemaFields(f.Fields)
		}
		all = append(all, map[string]schemaField{f.Name: s})
	}
	return all
}

// fieldsOf are those of the entities that have a schema, by their names in Kong.
func (a *API) fieldsOf(entity string) []api.Field {
	switch entity {
	case "consumers":
		return a.consumers.fields
	case "acls":
		return a.acls.fields
	case "plugins":
		return pluginFields()
	case "vault_auth_vaults":
		return a.vaults.fields
	}
	return nil
}

func pluginFieldsOf(name string) []api.Field {
	switch name {
	case api.PluginVaultAuth:
		return vaultAuthFields
	case api.PluginACL:
		return aclPluginFields
	}
	return nil
}

func noSchema(entity string) error {
	return &api.Problem{Status: http.StatusNotFound, Message: fmt.Sprintf("No entity named '%s'", entity)}
}

func noPlugin(name string) error {
	return &api.Problem{Status: http.StatusNotFound, Message: fmt.Sprintf("No plugin named '%s'; there are: %s", name, strings.Join(enabledPlugins(), ", "))}
}

// schema answers with an empty schema for absent kinds: decK asks for the defaults of
// all kinds.
func (a *API) schema(c *call) (reply, error) {
	entity := c.param("entity")
	if fields := a.fieldsOf(entity); fields != nil {
		return ok(document{"fields": schemaFields(fields)}), nil
	}
	if _, isAbsent := absentEntity(entity); isAbsent {
		return ok(document{"fields": []string{}}), nil
	}
	return reply{}, noSchema(entity)
}

func (a *API) schemaOfPlugin(c *call) (reply, error) {
	if c.param("entity") != "plugins" {
		return reply{}, noSchema(c.param("entity") + "/" + c.param("name"))
	}
	fields := pluginFieldsOf(c.param("name"))
	if fields == nil {
		return reply{}, noPlugin(c.param("name"))
	}
	return ok(document{"fields": schemaFields(fields)}), nil
}

// configSchema is the part of a plugin's schema that Kong had before /schemas.
func (a *API) configSchema(c *call) (reply, error) {
	for _, f := range pluginFieldsOf(c.param("name")) {
		if f.Kind == api.Record {
			return ok(document{"fields": schemaFields(f.Fields)}), nil
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
	if k, isAbsent := absentEntity(entity); isAbsent {
		return k.refuse(c)
	}
	if a.fieldsOf(entity) == nil {
		return reply{}, noSchema(entity)
	}
	if err := a.violations(entity, c.input); err != nil {
		return reply{}, err
	}
	return ok(document{"message": "schema validation successful"}), nil
}

func (a *API) violations(entity string, in input) error {
	v := violations{}
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
		d, err := pluginInput(in, "", nil)
		if err != nil {
			return err
		}
		if d.text("name") == api.PluginACL {
			return errorOf(v, a.aclPlugins.check(a, d, nil, v))
		}
		checkPolicyFields(policyFrom(d, nil), v)
		return asConfig(v.err())
	case "vault_auth_vaults":
		d, err := a.vaults.typedInput(in, nil)
		if err != nil {
			return err
		}
		return errorOf(v, checkVault(a, d, nil, v))
	}
	return v.err()
}

func errorOf(v violations, err error) error {
	if err != nil {
		return err
	}
	return v.err()
}

// withID reduces a reference with an id and other fields, such as decK sends, to its
// id.
func withID(in input, name string) input {
	ref, _ := in.values[name].(map[string]any)
	id, _ := ref["id"].(string)
	if !authz.IsUUID(strings.ToLower(id)) {
		return in
	}
	values := maps.Clone(in.values)
	values[name] = map[string]any{"id": id}
	return input{values: values, form: in.form}
}
