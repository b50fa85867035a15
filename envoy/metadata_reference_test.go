package envoy

import (
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/vault-authz/vault-authz/authz"
)

// metadataGenerated is the reference for the metadata, with generated types.
func metadataGenerated(d *authz.Decision) *structpb.Struct {
	fields := map[string]*structpb.Value{
		metaDecision: structpb.NewStringValue(d.Verdict()),
		metaReason:   textValue(d.Reason.String()),
	}
	if d.Policy != nil {
		fields[metaPolicy] = textValue(d.Policy.Name)
	}
	if len(d.Matching) > 0 {
		names := make([]*structpb.Value, len(d.Matching))
		for i, name := range d.Matching {
			names[i] = textValue(name)
		}
		fields[metaMatching] = structpb.NewListValue(&structpb.ListValue{Values: names})
	}
	if d.Shadow {
		fields[metaShadow] = structpb.NewBoolValue(true)
	}
	if d.Allowed && !d.Shadow && d.Consumer != nil {
		describe(fields, d)
	}
	return &structpb.Struct{Fields: fields}
}

func describe(fields map[string]*structpb.Value, d *authz.Decision) {
	c := d.Consumer
	consumer := map[string]*structpb.Value{"id": textValue(c.ID)}
	if c.Username != "" {
		consumer["username"] = textValue(c.Username)
	}
	if c.CustomID != "" {
		consumer["custom_id"] = textValue(c.CustomID)
	}
	fields[metaConsumer] = structpb.NewStructValue(&structpb.Struct{Fields: consumer})
	if len(c.Groups) > 0 {
		groups := make([]*structpb.Value, len(c.Groups))
		for i, g := range c.Groups {
			groups[i] = textValue(g)
		}
		fields[metaGroups] = structpb.NewListValue(&structpb.ListValue{Values: groups})
	}
	if d.Anonymous {
		fields[metaAnonymous] = structpb.NewBoolValue(true)
	} else if d.Policy != nil && !d.Policy.HideCredentialIdentifier {
		fields[metaCredential] = textValue(authz.Fingerprint(d.AccessToken))
	}
}

func textValue(s string) *structpb.Value { return structpb.NewStringValue(encodable(s)) }
