package openapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/redact"
)

// openAPITemplate is the document but for what follows from the fields of an entity:
// "<answers of policy>" stands for its properties in answers, "<requests of policy>" for
// those in requests, and "<policy>" for an example.
//
//go:embed openapi.yaml
var openAPITemplate string

// Document composes the document that is served.
func Document() []byte {
	fields := map[string][]api.Field{
		"consumer": schema.Consumer, "acl": schema.ACL, "vault": schema.Vault, "policy": schema.Policy,
		"vault-auth": schema.VaultAuthConfig, "acl plugin": schema.ACLPluginConfig,
	}
	answers, requests := maps.Clone(fields), maps.Clone(fields)
	answers["credential"] = api.FieldsOf(api.Credential{})
	requests["credential"], requests["limits"], requests["rotation"], requests["rehash"] = schema.NewCredential, schema.Limits, schema.Rotation, schema.Rehash
	text := regexp.MustCompile(`(?m)^( *)"<(answers|requests) of ([\w -]+)>": \{\}\n`).ReplaceAllStringFunc(openAPITemplate, func(line string) string {
		indent := line[:strings.Index(line, `"`)]
		what, entity, _ := strings.Cut(strings.Trim(strings.TrimSpace(line), `"<>: {}`), " of ")
		properties := answered(answers[entity])
		if what == "requests" {
			properties = requested(requests[entity])
		}
		return indent + strings.Join(properties, "\n"+indent) + "\n"
	})
	for placeholder, example := range openAPIExamples() {
		text = strings.ReplaceAll(text, `"<`+placeholder+`>"`, example)
	}
	return []byte(text)
}

func openAPIExamples() map[string]string {
	consumer := api.Consumer{ID: "64063284-e3b5-48e7-9bca-802251c32138", Username: new("alice"), Tags: []string{"gold"}, CreatedAt: 1550538643, UpdatedAt: 1550538643}
	acl := api.ACL{ID: "35b1ea1a-1d62-4e7a-9d31-0a2c3c3a8f01", Consumer: &api.Ref{ID: consumer.ID}, Group: "admin", CreatedAt: 1550538643}
	vault := api.Vault{
		ID: "d3da058d-0acb-49c2-b7fe-72b3e9fd4b0a", Name: "kong-auth", Protocol: "http", Host: "127.0.0.1", Port: 8200, Mount: "kong-auth",
		VaultToken: redact.Text, KV: api.KV1, Secrets: api.SecretsPlain, CreatedAt: 1550538643, UpdatedAt: 1550538643,
	}
	config := api.DefaultPolicy()
	config.Vault = &api.Ref{ID: vault.ID}
	policy := config
	policy.ID, policy.Name, policy.CreatedAt, policy.UpdatedAt = "b4d0cbb7-bff2-4599-ba19-67c705c15b9a", "orders", 1550539002, 1550539002
	policy.Hosts, policy.SecretTokenName, policy.ACL = []string{"orders.example.com"}, api.Names{"secret_token", "x-secret"}, &api.PolicyACL{Allow: []string{"admin"}}
	return map[string]string{
		"consumer":   flow(schema.Consumer, schema.DocumentOf(schema.Consumer, &consumer)),
		"acl":        flow(schema.ACL, schema.DocumentOf(schema.ACL, &acl)),
		"vault":      flow(schema.Vault, schema.DocumentOf(schema.Vault, &vault)),
		"policy":     flow(schema.Policy, schema.DocumentOf(schema.Policy, &policy)),
		"vault-auth": flow(schema.VaultAuthConfig, schema.DocumentOf(schema.Policy, &config)),
	}
}

// flow writes what an answer has of a document.
func flow(fields []api.Field, d schema.Document) string {
	d = schema.Shown(fields, d)
	members := make([]string, len(fields))
	for i := range fields {
		f := &fields[i]
		value := encoded(d[f.Name])
		if f.Kind == api.Record {
			value = flow(f.Fields, d.Record(f.Name))
		}
		members[i] = f.Name + ": " + value
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// encoded is a value in JSON, which YAML is too.
func encoded(value any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value) // texts, numbers and the like always encode
	return strings.TrimSpace(b.String())
}

// answered are the properties of fields in answers.
func answered(fields []api.Field) []string {
	all := make([]string, len(fields))
	for i := range fields {
		all[i] = fields[i].Name + ": " + answeredAs(&fields[i])
	}
	return all
}

func answeredAs(f *api.Field) string {
	switch {
	case f.Name == "id":
		return "{type: string, format: uuid}"
	case f.Time:
		return reference("Time", f)
	case f.Secret:
		return "{type: string, const: " + encoded(redact.Text) + "}"
	}
	switch f.Kind {
	case api.List:
		return reference("Texts", f)
	case api.NameList:
		return reference("Names", f)
	case api.Reference:
		if f.Nullable {
			return `{anyOf: [{$ref: "#/components/schemas/Ref"}, {type: "null"}]` + described(f) + "}"
		}
		return reference("Ref", f)
	case api.Record:
		return "{type: object, properties: {" + strings.Join(answered(f.Fields), ", ") + "}" + described(f) + "}"
	case api.Text, api.Integer, api.Boolean:
	}
	kind := map[api.Kind]string{api.Text: "string", api.Integer: "integer", api.Boolean: "boolean"}[f.Kind]
	orNull := f.Nullable || !f.Required && !f.Made && f.Default == nil && f.Kind != api.Boolean
	if orNull {
		kind = "[" + kind + `, "null"]`
	}
	limits := bounds(f)
	if f.Limit {
		limits = "" // others may have written the record
	}
	return "{type: " + kind + choices(f, orNull) + limits + described(f) + "}"
}

// requested are the properties of fields in requests, under all of their names.
func requested(fields []api.Field) []string {
	var all []string
	for i := range fields {
		f := &fields[i]
		all = append(all, f.Name+": "+requestedAs(f))
		if f.Alias != "" {
			all = append(all, f.Alias+`: {$ref: "#/components/schemas/NewText", description: "another name of `+f.Name+`"}`)
		}
	}
	return all
}

func requestedAs(f *api.Field) string {
	switch {
	case f.Name == "id":
		return reference("NewID", f)
	case f.Time:
		return reference("Number", f)
	}
	switch f.Kind {
	case api.Boolean:
		if f.OneOf == nil {
			return reference("Flag", f)
		}
	case api.List:
		return reference("NewTexts", f)
	case api.NameList:
		return reference("NewNames", f)
	case api.Reference:
		if f.Key == "username" {
			return reference("RefToConsumer", f)
		}
		return reference("RefToVault", f)
	case api.Record:
		return `{type: [object, "null"], additionalProperties: false, properties: {` + strings.Join(requested(f.Fields), ", ") + "}" + described(f) + "}"
	case api.Integer, api.Text:
	}
	switch {
	case f.OneOf != nil:
		return "{" + strings.TrimPrefix(choices(f, !f.Required), ", ") + described(f) + "}"
	case f.Kind == api.Integer && f.Required:
		return "{type: integer" + bounds(f) + described(f) + "}"
	case f.Kind == api.Integer:
		return `{type: [integer, "null"]` + bounds(f) + described(f) + "}"
	}
	return reference("NewText", f)
}

func reference(schema string, f *api.Field) string {
	return `{$ref: "#/components/schemas/` + schema + `"` + described(f) + "}"
}

func choices(f *api.Field, orNull bool) string {
	if f.OneOf == nil {
		return ""
	}
	all := strings.Join(f.OneOf, ", ")
	if orNull {
		all += ", null"
	}
	return ", enum: [" + all + "]"
}

func bounds(f *api.Field) string {
	if f.Max == 0 {
		return ""
	}
	return fmt.Sprintf(", minimum: %d, maximum: %d", f.Min, f.Max)
}

// described is the default of a field and what it does.
func described(f *api.Field) string {
	text := ""
	switch f.Default.(type) {
	case bool, int64, string:
		text = ", default: " + encoded(f.Default)
	case nil:
		if f.Kind == api.Boolean && !f.Limit && !f.Answer {
			text = ", default: false"
		}
	}
	if f.Effect != "" {
		text += ", description: " + encoded(f.Effect)
	}
	return text
}
