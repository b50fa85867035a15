package envoy

import (
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

// The fields of the dynamic metadata, in envoy.filters.http.ext_authz, for rate limits, RBAC and
// access logs of Envoy. Because access logs contain it, the credential is the fingerprint of the
// access token, as in our log.
const (
	metaDecision   = "decision"
	metaReason     = "reason"
	metaPolicy     = "policy"
	metaMatching   = "matching"
	metaShadow     = "shadow"
	metaAnonymous  = "anonymous"
	metaConsumer   = "consumer"
	metaGroups     = "groups"
	metaCredential = "credential"
)

// The fields of the consumer in the metadata.
const (
	metaID       = "id"
	metaUsername = "username"
	metaCustomID = "custom_id"
)

// metadata writes the description of a decision for other filters, a google.protobuf.Struct. For a
// denied client it contains only the reason: other filters may log it, and the access token of a
// denied client must not get into a log.
func (w *writer) metadata(d *authz.Decision) {
	end := w.mark()
	if d.Allowed && !d.Shadow && d.Consumer != nil {
		w.identity(d)
	}
	if d.Shadow {
		w.structBool(metaShadow)
	}
	if len(d.Matching) > 0 {
		w.structTexts(metaMatching, d.Matching)
	}
	if d.Policy != nil {
		w.structText(metaPolicy, d.Policy.Name)
	}
	w.structText(metaReason, d.Reason.String())
	w.structText(metaDecision, d.Verdict())
	w.enclose(checkResponseDynamicMetadata, end)
}

// identity writes the consumer of the request.
func (w *writer) identity(d *authz.Decision) {
	if d.Anonymous {
		w.structBool(metaAnonymous)
	} else if d.Policy != nil && !d.Policy.HideCredentialIdentifier {
		var digits [16]byte
		w.structText(metaCredential, text(authz.AppendFingerprint(digits[:0], d.AccessToken)))
	}
	// This one cannot fail.
	_ = w.remembered(d.ConsumerMemo, func(w *writer) error { w.consumer(d.Consumer); return nil })
}

func (w *writer) consumer(c *authz.Consumer) {
	if len(c.Groups) > 0 {
		w.structTexts(metaGroups, c.Groups)
	}
	end := w.mark()
	if c.CustomID != "" {
		w.structText(metaCustomID, c.CustomID)
	}
	if c.Username != "" {
		w.structText(metaUsername, c.Username)
	}
	w.structText(metaID, c.ID)
	w.enclose(valueStruct, end)
	w.entry(metaConsumer, end)
}

func (w *writer) structText(name, value string) {
	end := w.mark()
	w.text(valueString, encodable(value))
	w.entry(name, end)
}

func (w *writer) structTexts(name string, values []string) {
	end := w.mark()
	for i := len(values) - 1; i >= 0; i-- {
		item := w.mark()
		w.text(valueString, encodable(values[i]))
		w.enclose(listValues, item)
	}
	w.enclose(valueList, end)
	w.entry(name, end)
}

// structBool writes a field with the value true.
func (w *writer) structBool(name string) {
	end := w.mark()
	w.number(valueBool, 1)
	w.entry(name, end)
}

// entry makes the value since mark a field of a Struct.
func (w *writer) entry(name string, mark int) {
	w.enclose(entryValue, mark)
	w.text(entryKey, name)
	w.enclose(structFields, mark)
}

// encodable returns valid UTF-8: protobuf refuses other strings, and a refused answer is a failed
// call.
func encodable(s string) string {
	if isASCII(s) {
		return s
	}
	return strings.ToValidUTF8(s, "�")
}
