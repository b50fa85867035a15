package redact_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/redact"
)

func TestSecretIsOnlyRevealedOnDemand(t *testing.T) {
	t.Parallel()
	s := redact.New("zzSECRETzz")
	holder := struct{ S redact.String }{s}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T%v"} {
		for _, value := range []any{s, &s, holder, &holder} {
			if text := fmt.Sprintf(strings.ReplaceAll(verb, "%T", ""), value); strings.Contains(text, "zzSECRET") || strings.Contains(text, "7a7a534543524554") {
				t.Errorf("%s of %T prints %s", verb, value, text)
			}
		}
	}
	encoded, err := json.Marshal(holder)
	if err != nil || string(encoded) != `{"S":"[redacted]"}` {
		t.Errorf("Marshal = %s, %v", encoded, err)
	}
	if s.Reveal() != "zzSECRETzz" {
		t.Errorf("Reveal() = %q", s.Reveal())
	}
}
