package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/internal/config"
)

const (
	// maxShown bounds a configuration that a service shows.
	maxShown = 256 << 20
	// showTimeout is how long it may take.
	showTimeout = 10 * time.Second
)

// runningConfig returns the configuration that a service goes by. at is the URL of its probes.
func runningConfig(ctx context.Context, at string, t *clientTLS) (config.Config, error) {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return config.Config{}, errors.New("--running: give the URL of the probes (listen.probes), like http://localhost:9193")
	}
	secured, err := t.config("")
	if err != nil {
		return config.Config{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, showTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(at, "/")+"/debug/config", http.NoBody)
	if err != nil {
		return config.Config{}, err
	}
	// Without a proxy: the service would take the call for one of another machine.
	client := http.Client{Transport: &http.Transport{TLSClientConfig: secured, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return config.Config{}, fmt.Errorf("--running: %w; is vault-authz running there?", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxShown))
	switch {
	case err != nil:
		return config.Config{}, fmt.Errorf("--running: %w", err)
	case resp.StatusCode == http.StatusNotFound:
		return config.Config{}, errors.New("--running: the service does not show its configuration; set debug.enabled, which needs a restart")
	case resp.StatusCode != http.StatusOK:
		return config.Config{}, fmt.Errorf("--running: status %d: %s", resp.StatusCode, strings.TrimSpace(string(text[:min(len(text), 300)])))
	}
	c, err := config.Shown(text)
	if err != nil {
		return config.Config{}, fmt.Errorf("--running: what the service shows cannot be read; is it another version?\n%w", err)
	}
	return c, nil
}
