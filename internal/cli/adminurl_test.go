package cli

import (
	"strings"
	"testing"
)

func TestAHostAndPortMeanThisMachine(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"127.0.0.1:9192":        "http://127.0.0.1:9192",
		"localhost:9192":        "http://localhost:9192",
		"LOCALHOST:9192":        "http://LOCALHOST:9192",
		"[::1]:9192":            "http://[::1]:9192",
		":9192":                 "http://127.0.0.1:9192",
		"http://10.0.0.1:9192":  "http://10.0.0.1:9192",
		"https://admin.example": "https://admin.example",
	} {
		if got, err := adminURL(at); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", at, got, err, want)
		}
	}
	for at, want := range map[string]string{
		"admin.example:9192":      "write https://admin.example:9192",
		"10.0.0.1:9192":           "write https://10.0.0.1:9192",
		"localhost.example:9192":  "write https://localhost.example:9192",
		"admin.example":           "give a URL",
		"localhost:":              "give a URL",
		"":                        "give a URL",
		"ops:a-password@host:443": "give a URL",
	} {
		got, err := adminURL(at)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "a-password") {
			t.Errorf("%q: got %q, %v, want an error that says: %s", at, got, err, want)
		}
	}
}
