package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"text/template"

	"github.com/vault-authz/vault-authz/test/parts"
)

//go:embed gateway.yaml.tmpl
var gatewayTemplate string

// startGateway starts an Envoy with one worker and a listener for each contender, and
// waits for them.
func (m *machinery) startGateway(ctx context.Context, contenders []contender) (*server, error) {
	dir, err := os.MkdirTemp(m.dir, "envoy-")
	if err != nil {
		return nil, err
	}
	for i := range contenders {
		if contenders[i].listener, err = parts.Address(ctx, 0); err != nil {
			return nil, err
		}
	}
	config, err := gatewayConfig(contenders)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	s, err := m.start(ctx, parts.Command{Name: "envoy", Path: m.envoy, Dir: dir, Args: []string{
		"--config-path", file, "--use-dynamic-base-id", "--base-id-path", filepath.Join(dir, "base-id"),
		"--concurrency", "1", "--log-level", "warning",
	}}, "")
	if err != nil {
		return nil, err
	}
	return s, m.await(ctx, s, func(ctx context.Context) error {
		var errs []error
		for _, c := range contenders {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.listener)
			if err == nil {
				err = conn.Close()
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// A gatewayListener is a contender as the template has it.
type gatewayListener struct {
	Name, Key string
	Port      int
	// AuthzHost is empty where Envoy asks no server.
	AuthzHost string
	AuthzPort int
}

func gatewayConfig(contenders []contender) ([]byte, error) {
	t, err := template.New("gateway").Funcs(template.FuncMap{
		// JSON, which YAML reads alike whatever is in it.
		"json": func(s string) (string, error) {
			raw, err := json.Marshal(s)
			return string(raw), err
		},
	}).Parse(gatewayTemplate)
	if err != nil {
		return nil, err
	}
	listeners := make([]gatewayListener, len(contenders))
	for i, c := range contenders {
		l := gatewayListener{Name: c.name, Key: c.key}
		var errs [3]error
		l.Port, errs[0] = parts.Port(c.listener)
		if c.server != nil {
			l.AuthzHost, _, errs[1] = net.SplitHostPort(c.server.GRPC)
			l.AuthzPort, errs[2] = parts.Port(c.server.GRPC)
		}
		if err := errors.Join(errs[:]...); err != nil {
			return nil, err
		}
		listeners[i] = l
	}
	var out bytes.Buffer
	err = t.Execute(&out, listeners)
	return out.Bytes(), err
}
