package envoy

import (
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/vault-authz/vault-authz/authz"
)

// The fields of the dynamic metadata, under envoy.filters.http.ext_authz: for
// rate limits, RBAC and access logs further down the chain. Because it ends up
// in logs, the credential is the fingerprint of the access token, as in our own.
const (
	metaDecision   = "decision"
	metaReason     = "reason"
	metaPolicy     = "policy"
	metaShadow     = "shadow"
	metaAnonymous  = "anonymous"
	metaConsumer   = "consumer"
	metaGroups     = "groups"
	metaCredential = "credential"
)

// metadata describes a decision to the rest of Envoy. Of a denied client it says
// nothing but why: what a stranger presented is not to be found in any log.
func metadata(d *authz.Decision) *structpb.Struct {
	fields := map[string]*structpb.Value{
		metaDecision: structpb.NewStringValue(d.Verdict()),
		metaReason:   structpb.NewStringValue(d.Reason.String()),
	}
	if d.Policy != nil {
		fields[metaPolicy] = text(d.Policy.Name)
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
	consumer := map[string]*structpb.Value{"id": text(c.ID)}
	if c.Username != "" {
		consumer["username"] = text(c.Username)
	}
	if c.CustomID != "" {
		consumer["custom_id"] = text(c.CustomID)
	}
	fields[metaConsumer] = structpb.NewStructValue(&structpb.Struct{Fields: consumer})
	if len(c.Groups) > 0 {
		groups := make([]*structpb.Value, len(c.Groups))
		for i, g := range c.Groups {
			groups[i] = text(g)
		}
		fields[metaGroups] = structpb.NewListValue(&structpb.ListValue{Values: groups})
	}
	if d.Anonymous {
		fields[metaAnonymous] = structpb.NewBoolValue(true)
	} else if d.Policy != nil && !d.Policy.HideCredentialIdentifier {
		fields[metaCredential] = text(authz.Fingerprint(d.AccessToken))
	}
}

// text keeps the message encodable: protobuf refuses strings that are not
// UTF-8, and an answer that cannot be encoded is a failed call.
func text(s string) *structpb.Value { return structpb.NewStringValue(strings.ToValidUTF8(s, "�")) }
