package kong

import (
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
)

// A SchemaField is a field as Kong's schemas describe it.
type SchemaField struct {
	Type      string                   `json:"type"`
	Required  bool                     `json:"required,omitempty"`
	Default   any                      `json:"default,omitempty"`
	OneOf     []string                 `json:"one_of,omitempty"`
	Between   []int64                  `json:"between,omitempty"`
	UUID      bool                     `json:"uuid,omitempty"`
	Auto      bool                     `json:"auto,omitempty"`
	Encrypted bool                     `json:"encrypted,omitempty"`
	Reference string                   `json:"reference,omitempty"`
	Elements  *SchemaField             `json:"elements,omitempty"`
	Fields    []map[string]SchemaField `json:"fields,omitempty"`
}

var schemaTypes = map[api.Kind]string{
	api.Text: "string", api.Integer: "integer", api.Boolean: "boolean", api.List: "set", api.NameList: "string",
	api.Reference: "foreign", api.Record: "record",
}

// referenced has the kind of entity that a reference of this name points to, except in
// the config of a plugin.
var referenced = map[string]string{"consumer": "consumers", "service": "services", "route": "routes"}

// SchemaFields describes fields as Kong does, with the defaults that answers show.
func SchemaFields(fields []api.Field) []map[string]SchemaField {
	all := make([]map[string]SchemaField, 0, len(fields))
	for i := range fields {
		f := &fields[i]
		s := SchemaField{Type: schemaTypes[f.Kind], Required: f.Required || f.Kind == api.Record, Encrypted: f.Secret}
		if f.Kind != api.Boolean {
			s.OneOf = f.OneOf
		}
		s.Default = schema.Shown([]api.Field{*f}, schema.Document{f.Name: f.Default})[f.Name]
		if f.Max != 0 {
			s.Between = []int64{f.Min, f.Max}
		}
		switch {
		case f.Name == "id":
			s.UUID, s.Auto = true, true
		case f.Time:
			s.Auto = true
		case f.Kind == api.List:
			s.Elements = &SchemaField{Type: "string"}
		case f.Kind == api.Reference && referenced[f.Name] == "":
			// A record, as in answers: if the schema says foreign, decK replaces
			// the id by the default.
			s.Type, s.Fields = schemaTypes[api.Record], []map[string]SchemaField{{"id": {Type: "string", UUID: true}}}
		case f.Kind == api.Reference:
			s.Reference = referenced[f.Name]
		case f.Kind == api.Record:
			s.Default, s.Fields = nil, SchemaFields(f.Fields)
		}
		all = append(all, map[string]SchemaField{f.Name: s})
	}
	return all
}

// PluginFields are the fields of a plugin by its name, nil if there is no such plugin.
func PluginFields(name string) []api.Field {
	switch name {
	case api.PluginVaultAuth:
		return schema.VaultAuth
	case api.PluginACL:
		return schema.ACLPlugin
	}
	return nil
}
