package parts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ServiceConfig configures a vault-authz.
type ServiceConfig struct {
	// Binary is what [BuildService] made, and Dir an existing folder for its
	// files.
	Binary, Dir string
	// GRPC and Probes are its addresses: host:port or unix:/path, a free loopback port
	// if empty.
	GRPC, Probes string
	// Entities are the vaults, consumers and policies, in YAML.
	Entities string
	// Config is a whole configuration. It replaces GRPC, Probes and Entities.
	Config string
	// Env is added to the environment of this process.
	Env []string
	// Output receives the output of vault-authz, nil keeps it for [Process.Log].
	Output io.Writer
	// Wrap is a command that executes its arguments, here vault-authz. It may be empty.
	Wrap []string
}

// A Service is a running vault-authz.
type Service struct {
	*Process
	// GRPC, Probes and Admin are its addresses. Admin is empty without a state.
	GRPC, Probes, Admin string
	http                *http.Client
	// operators is the client for the admin API, whose calls may be slow.
	operators *http.Client
}

// BuildService builds vault-authz from the module of the working directory and returns the
// binary.
func BuildService(ctx context.Context, dir string, race bool) (string, error) {
	binary := filepath.Join(dir, "vault-authz")
	args := []string{"build", "-tags=grpcnotrace", "-buildvcs=false", "-o", binary}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/vault-authz/vault-authz/cmd/vault-authz")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building vault-authz: %w\n%s", err, out)
	}
	return binary, nil
}

// StartService starts vault-authz and waits until it is ready.
func StartService(ctx context.Context, c ServiceConfig) (*Service, error) {
	addresses := filepath.Join(c.Dir, "addresses.json")
	config := filepath.Join(c.Dir, "vault-authz.yaml")
	if err := os.Remove(addresses); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	if err := os.WriteFile(config, []byte(cmp.Or(c.Config, c.preamble()+c.Entities)), 0o600); err != nil {
		return nil, err
	}
	line := append(slices.Clone(c.Wrap), c.Binary, "serve", "--config", config)
	return startService(ctx, addresses, Command{
		Name: "vault-authz", Path: line[0], Dir: c.Dir,
		Args: line[1:], Output: c.Output,
		Env: append(append(os.Environ(), "VAULT_AUTHZ_ADDRESSES_FILE="+addresses), c.Env...),
	})
}

// StartDev starts `vault-authz dev` on free ports and waits until it is ready. dir
// is an existing folder for its files.
func StartDev(ctx context.Context, binary, dir string) (*Service, error) {
	const free = "127.0.0.1:0"
	addresses := filepath.Join(dir, "addresses.json")
	return startService(ctx, addresses, Command{
		Name: "vault-authz dev", Path: binary, Dir: dir,
		Args: []string{"dev", "--grpc", free, "--probes", free, "--admin", free, "--addresses-file", addresses},
	})
}

// startService starts a vault-authz that writes its addresses into a file.
func startService(ctx context.Context, addresses string, c Command) (*Service, error) {
	p, err := Start(c)
	if err != nil {
		return nil, err
	}
	s := &Service{
		Process: p, http: &http.Client{Timeout: 5 * time.Second},
		operators: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	ctx, cancel := context.WithTimeout(ctx, StartLimit)
	defer cancel()
	err = Await(ctx, p, func(ctx context.Context) error {
		raw, err := os.ReadFile(addresses)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, s); err != nil {
			return fmt.Errorf("reading %q: %w", addresses, err)
		}
		return s.Ready(ctx)
	})
	if err != nil {
		p.Kill()
		return nil, p.failed(err)
	}
	return s, nil
}

// preamble returns the configuration before the entities.
func (c *ServiceConfig) preamble() string {
	or := func(address string) string {
		if address == "" {
			return "127.0.0.1:0"
		}
		return address
	}
	return fmt.Sprintf(`listen: {grpc: %q, probes: %q}
log: {level: info, format: json, allow_sample: 1}
drain: {wait: 0s, timeout: 2s}
`, or(c.GRPC), or(c.Probes))
}

// Ready asks the service whether it is ready.
func (s *Service) Ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Probes+"/readyz", nil)
	if err != nil {
		return err
	}
	_, err = fetch(s.http, req)
	return err
}

// Call makes a call to the admin API. The fields of the form have the form name=value.
func (s *Service) Call(ctx context.Context, method, path string, form ...string) (status int, body []byte, err error) {
	values := url.Values{}
	for _, f := range form {
		name, value, _ := strings.Cut(f, "=")
		values.Add(name, value)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.Admin+path, strings.NewReader(values.Encode()))
	if err != nil {
		return 0, nil, err
	}
	if len(form) == 0 {
		req.Body, req.ContentLength = nil, 0
	} else {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := s.operators.Do(req)
	if err != nil {
		return 0, nil, err
	}
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, errors.Join(err, resp.Body.Close())
}

// A DecisionLine is a line of the decision log.
type DecisionLine struct {
	Message    string `json:"message"`
	Decision   string `json:"decision"`
	Reason     string `json:"reason"`
	Policy     string `json:"policy"`
	Shadow     bool   `json:"shadow"`
	Anonymous  bool   `json:"anonymous"`
	InsteadOf  string `json:"instead_of"`
	Consumer   string `json:"consumer"`
	Credential string `json:"credential"`
	Trace      string `json:"trace_id"`
	Status     int    `json:"status"`
	Method     string `json:"method"`
	Path       string `json:"path"`
	Host       string `json:"host"`
	Error      string `json:"error"`
}

// Decisions returns the logged decisions about requests for a path.
func (s *Service) Decisions(path string) []DecisionLine {
	var lines []DecisionLine
	for line := range strings.SplitSeq(s.Log(), "\n") {
		if !strings.Contains(line, path) {
			continue
		}
		var d DecisionLine
		if json.Unmarshal([]byte(line), &d) == nil && d.Message == "decision" && d.Path == path {
			lines = append(lines, d)
		}
	}
	return lines
}
