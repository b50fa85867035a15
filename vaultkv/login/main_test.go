package login_test

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Beginnings of what must never be in a text. No other word contains them.
const (
	vaultToken = "zzVAULTzz-token"
	secretID   = "zzSECRETIDzz"
)

func lines(logs *observer.ObservedLogs) []string {
	var out []string
	for _, e := range logs.All() {
		out = append(out, fmt.Sprintf("%s %s %v", e.Level, e.Message, e.ContextMap()))
	}
	return out
}

// wantNoSecrets fails if the error or a log line contains a token or a secret id.
func wantNoSecrets(t *testing.T, err error, logs *observer.ObservedLogs) {
	t.Helper()
	texts := lines(logs)
	if err != nil {
		texts = append(texts, fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err))
	}
	for _, text := range texts {
		if strings.Contains(text, vaultToken) || strings.Contains(text, secretID) {
			t.Errorf("%q contains a secret", text)
		}
	}
}
