package vaultkv_test

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	// The certificate of httptest is for example.com and 127.0.0.1.
	tests := []struct {
		name       string
		serverName string
		maxVersion uint16
		want       error
		text       string
	}{
		{"trusted by ca_file", "", 0, authz.ErrNotFound, ""},
		{"under its other name", "example.com", 0, authz.ErrNotFound, ""},
		{"under the name of another", "vault.internal", 0, authz.ErrUnavailable, `not made for "vault.internal" but for "example.com"`},
		{"a server that is stuck at TLS 1.1", "", tls.VersionTLS11, authz.ErrUnavailable, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(answer(404, `{"errors":[]}`))
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tt.maxVersion}
			srv.EnableHTTP2 = true
			srv.StartTLS()
			t.Cleanup(srv.Close)
			file := filepath.Join(t.TempDir(), "ca.pem")
			writeFile(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
			_, s, logs := open(t, srv.URL, func(c *vaultkv.Config) { c.CAFile, c.TLSServerName = file, tt.serverName })
			_, err := s.Lookup(t.Context(), accessToken)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Lookup = %v, want %v with %q", err, tt.want, tt.text)
			}
			wantNoTokens(t, err, logs)
		})
	}
}
