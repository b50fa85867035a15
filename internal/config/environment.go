package config

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// environmentPrefix begins the name of every variable that is a setting.
const environmentPrefix = "VAULT_AUTHZ_"

// A Variable is a setting that can be given in the environment.
type Variable struct {
	Name, Setting string
	set           func(c *Config, value string) error
}

// Variables lists them all. The same list drives the code, the help text and
// docs/reference/configuration.md.
func Variables() []Variable {
	return []Variable{
		{"VAULT_AUTHZ_LISTEN_GRPC", "listen.grpc", text(func(c *Config) *string { return &c.Listen.GRPC })},
		{"VAULT_AUTHZ_LISTEN_PROBES", "listen.probes", text(func(c *Config) *string { return &c.Listen.Probes })},
		{"VAULT_AUTHZ_LISTEN_SOCKET_MODE", "listen.socket_mode", func(c *Config, value string) error {
			m, err := parseMode(value)
			c.Listen.SocketMode = fs.FileMode(m)
			return err
		}},
		{"VAULT_AUTHZ_LISTEN_SOCKET_GROUP", "listen.socket_group", text(func(c *Config) *string { return &c.Listen.SocketGroup })},
		{"VAULT_AUTHZ_ADMIN_LISTEN", "admin.listen", text(func(c *Config) *string { return &c.Admin.Address })},
		{"VAULT_AUTHZ_ADDRESSES_FILE", "addresses_file", text(func(c *Config) *string { return &c.AddressesFile })},
		{"VAULT_AUTHZ_LOG_LEVEL", "log.level", text(func(c *Config) *string { return &c.Log.Level })},
		{"VAULT_AUTHZ_LOG_FORMAT", "log.format", text(func(c *Config) *string { return &c.Log.Format })},
		{"VAULT_AUTHZ_LOG_ALLOW_SAMPLE", "log.allow_sample", number(func(c *Config) *int { return &c.Log.AllowSample })},
		{"VAULT_AUTHZ_LOG_DECISIONS_LEVEL", "log.decisions.level", text(func(c *Config) *string { return &c.Log.Decisions.Level })},
		{"VAULT_AUTHZ_LOG_DECISIONS_TARGET", "log.decisions.target", text(func(c *Config) *string { return &c.Log.Decisions.Target })},
		{"VAULT_AUTHZ_LOG_AUDIT_TARGET", "log.audit.target", text(func(c *Config) *string { return &c.Log.Audit.Target })},
		{"VAULT_AUTHZ_LOG_AUDIT_ON_FAILURE", "log.audit.on_failure", text(func(c *Config) *string { return &c.Log.Audit.OnFailure })},
		{"VAULT_AUTHZ_GRPC_REFLECTION", "grpc.reflection", boolean(func(c *Config) *bool { return &c.GRPC.Reflection })},
		{"VAULT_AUTHZ_GRPC_MAX_REQUEST_BYTES", "grpc.max_request_bytes", number(func(c *Config) *int { return &c.GRPC.MaxRequestBytes })},
		{"VAULT_AUTHZ_DEBUG_ENABLED", "debug.enabled", boolean(func(c *Config) *bool { return &c.Debug.Enabled })},
		{"VAULT_AUTHZ_DRAIN_WAIT", "drain.wait", duration(func(c *Config) *time.Duration { return &c.Drain.Wait })},
		{"VAULT_AUTHZ_DRAIN_TIMEOUT", "drain.timeout", duration(func(c *Config) *time.Duration { return &c.Drain.Timeout })},
	}
}

func text(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, value string) error {
		*field(c) = value
		return nil
	}
}

func number(field func(*Config) *int) func(*Config, string) error {
	return func(c *Config, value string) (err error) {
		if *field(c), err = strconv.Atoi(value); err != nil {
			return fmt.Errorf("%q is no whole number", value)
		}
		return nil
	}
}

func boolean(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, value string) error {
		if value != "true" && value != "false" {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		*field(c) = value == "true"
		return nil
	}
}

func duration(field func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, value string) (err error) {
		if *field(c), err = time.ParseDuration(value); err != nil {
			return fmt.Errorf("%q is no duration such as 500ms, 30s, 5m", value)
		}
		return nil
	}
}

func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	return env
}

// referenced lists the variables that the file itself refers to.
func (f *file) referenced() []string {
	var all []string
	for i := range f.Vaults {
		all = append(all, f.Vaults[i].Token.Env)
	}
	return all
}

// A Flag is a setting that is given on the command line.
type Flag struct {
	// Name is like --log-level.
	Name, Setting, Value string
}

// override puts the environment over c, and the flags over that. An empty variable counts
// as not set. An unknown variable with our prefix is a mistake, unless the file refers to
// it. from has the origin of each setting that was put over.
func override(c *Config, environ, referenced []string, flags []Flag) (from map[string]string, found findings) {
	variables := Variables()
	from = map[string]string{}
	put := func(source, value string, is func(Variable) bool) {
		i := slices.IndexFunc(variables, is)
		if i < 0 {
			found = append(found, finding{text: source + " is no setting; see vault-authz serve --help"})
			return
		}
		v := variables[i]
		from[v.Setting] = source
		if err := v.set(c, value); err != nil {
			found = append(found, finding{setting: v.Setting, text: err.Error()})
		}
	}
	values := environment(environ)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == "" || !strings.HasPrefix(name, environmentPrefix) || slices.Contains(referenced, name) {
			continue
		}
		put("environment variable "+name, values[name], func(v Variable) bool { return v.Name == name })
	}
	for _, f := range flags {
		put(f.Name, f.Value, func(v Variable) bool { return v.Setting == f.Setting })
	}
	return from, found
}
