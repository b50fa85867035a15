package admin

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/vault-authz/vault-authz/internal/api"
)

// openAPITemplate is the document but for what follows from the fields of an entity:
// "<answers of policy>" stands for its properties in answers, "<requests of policy>" for
// those in requests, and "<policy>" for an example.
//
//go:embed openapi.yaml
var openAPITemplate string

// openAPIDocument composes the document that is served.
func openAPIDocument() []byte {
	fields := map[string][]api.Field{"policy": policyFields, "vault-auth": vaultAuthConfig}
	policy, config := examplePolicy(), api.DefaultPolicy()
	config.Vault = policy.Vault
	examples := map[string]string{
		`"<policy>"`:     flow(policyFields, written(policyFields, &policy)),
		`"<vault-auth>"`: flow(vaultAuthConfig, written(policyFields, &config)),
	}
	text := regexp.MustCompile(`(?m)^( *)"<(answers|requests) of ([\w-]+)>": \{\}\n`).ReplaceAllStringFunc(openAPITemplate, func(line string) string {
		indent := line[:strings.Index(line, `"`)]
		what, entity, _ := strings.Cut(strings.Trim(strings.TrimSpace(line), `"<>: {}`), " of ")
		var b strings.Builder
		for _, f := range fields[entity] {
			property := answered(&f)
			if what == "requests" {
				property = requested(&f)
			}
			fmt.Fprintf(&b, "%s%s: %s\n", indent, f.Name, property)
		}
		return b.String()
	})
	for placeholder, value := range examples {
		text = strings.ReplaceAll(text, placeholder, value)
	}
	return []byte(text)
}

func examplePolicy() api.Policy {
	p := api.DefaultPolicy()
	p.ID, p.Name, p.Vault = "b4d0cbb7-bff2-4599-ba19-67c705c15b9a", "orders", &api.Ref{ID: "d3da058d-0acb-49c2-b7fe-72b3e9fd4b0a"}
	p.Hosts, p.SecretTokenName, p.ACL = []string{"orders.example.com"}, api.Names{"secret_token", "x-secret"}, &api.PolicyACL{Allow: []string{"admin"}}
	p.CreatedAt, p.UpdatedAt = 1550539002, 1550539002
	return p
}

// flow writes what an answer has of a document.
func flow(fields []api.Field, d document) string {
	d = shown(fields, d)
	members := make([]string, len(fields))
	for i := range fields {
		f := &fields[i]
		value := encoded(d[f.Name])
		if f.Kind == api.Record {
			value = flow(f.Fields, d.record(f.Name))
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

// answered is the schema of a field in answers.
func answered(f *api.Field) string {
	switch {
	case f.Name == "id":
		return "{type: string, format: uuid}"
	case f.Time:
		return reference("Time", f)
	}
	switch f.Kind {
	case api.List:
		return reference("Texts", f)
	case api.NameList:
		return reference("Names", f)
	case api.Reference:
		return reference("Ref", f)
	case api.Record:
		return "{type: object, properties: {" + properties(f.Fields, answered) + "}}"
	case api.Text, api.Integer, api.Boolean:
	}
	kind := schemaTypes[f.Kind]
	if !f.Required && f.Default == nil {
		return "{type: [" + kind + `, "null"]` + choices(f, f.OneOf != nil) + bounds(f) + described(f) + "}"
	}
	return "{type: " + kind + choices(f, false) + bounds(f) + described(f) + "}"
}

// requested is the schema of a field in requests.
func requested(f *api.Field) string {
	switch {
	case f.Name == "id":
		return reference("NewID", f)
	case f.Time:
		return reference("Number", f)
	}
	switch f.Kind {
	case api.Boolean:
		return reference("Flag", f)
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
		return `{type: [object, "null"], additionalProperties: false, properties: {` + properties(f.Fields, requested) + "}}"
	case api.Integer:
		if f.OneOf == nil {
			return `{type: [integer, "null"]` + bounds(f) + described(f) + "}"
		}
	case api.Text:
	}
	if f.OneOf != nil {
		return "{" + strings.TrimPrefix(choices(f, true), ", ") + described(f) + "}"
	}
	return reference("NewText", f)
}

func reference(schema string, f *api.Field) string {
	return `{$ref: "#/components/schemas/` + schema + `"` + described(f) + "}"
}

func properties(fields []api.Field, of func(*api.Field) string) string {
	members := make([]string, len(fields))
	for i := range fields {
		members[i] = fields[i].Name + ": " + of(&fields[i])
	}
	return strings.Join(members, ", ")
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
	}
	if f.Effect != "" {
		text += ", description: " + encoded(f.Effect)
	}
	return text
}
