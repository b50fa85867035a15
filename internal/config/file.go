package config

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/internal/api"
)

// file is the YAML document. A setting stands for the field of the same name in [Config], or for
// the one in its tag field, see [fieldcopy.Of]; one that is nil, or a text that is empty, takes the
// default there. The doc tags make docs/reference/configuration.md and the JSON Schema:
// "kind: effect". The words that a setting may be are in its rule tag, as in package api. A setting
// with the tag env can also be given in the environment.
type file struct {
	Listen        listenSection  `yaml:"listen"`
	AddressesFile string         `yaml:"addresses_file,omitempty" env:"" doc:"path: where the addresses that are listened on are written (JSON), once they are open"`
	Log           logSection     `yaml:"log"`
	GRPC          grpcSection    `yaml:"grpc"`
	Probes        probesSection  `yaml:"probes"`
	Debug         debugSection   `yaml:"debug"`
	Drain         drainSection   `yaml:"drain"`
	Tokens        tokensSection  `yaml:"tokens" field:"Grammar"`
	Admin         adminSection   `yaml:"admin"`
	State         stateSection   `yaml:"state"`
	Vaults        []vaultEntry   `yaml:"vaults" field:"-"`
	Consumers     []api.Consumer `yaml:"consumers" field:"-"`
	Policies      []api.Policy   `yaml:"policies" field:"-"`
}

type listenSection struct {
	GRPC   *string `yaml:"grpc,omitempty" env:"" doc:"address: where Envoy asks; host:port, or unix:/path for a socket; 0.0.0.0 is IPv4 only; [::] or a port alone (:9191) is IPv4 and IPv6"`
	Probes *string `yaml:"probes,omitempty" env:"" doc:"address: /livez, /readyz and /metrics"`

	SocketMode  *mode   `yaml:"socket_mode,omitempty" env:"" doc:"mode: of the socket file, if one of these is a socket; a client needs the right to write"`
	SocketGroup *string `yaml:"socket_group,omitempty" env:"" doc:"group: name or number of the group of that file; if empty, the group of the folder if its setgid bit is set, else of the process"`
}

type logSection struct {
	Level       *string `yaml:"level,omitempty" env:"" rule:"oneof=debug|info|warn|error" doc:"word: debug, info, warn or error"`
	Format      *string `yaml:"format,omitempty" env:"" rule:"oneof=json|console|auto" doc:"word: json, console, or auto for console on a terminal"`
	AllowSample *int    `yaml:"allow_sample,omitempty" env:"" doc:"number: 1 in this many allowed requests is logged, 0 for no allowed request; denials are logged up to 100 a second"`

	Decisions decisionsSection `yaml:"decisions"`
	Audit     auditSection     `yaml:"audit"`
}

type decisionsSection struct {
	Level  *string `yaml:"level,omitempty" env:"" rule:"oneof=info|warn|error|off" doc:"word: what is in the decision log: info for all decisions, warn for denials, error for those that are due to this service (5xx), off for nothing"`
	Target *string `yaml:"target,omitempty" env:"" doc:"target: where the decision log goes: stdout, stderr, or the path of a file, which is opened again at SIGUSR1"`
}

type auditSection struct {
	Target    *string `yaml:"target,omitempty" env:"" doc:"target: where the audit log goes, as log.decisions.target; it has every change, whatever the levels are"`
	OnFailure *string `yaml:"on_failure,omitempty" env:"" rule:"oneof=refuse|warn" doc:"word: refuse a change whose audit record cannot be written (503, nothing is changed), or warn: make it and say so in the answer"`
}

type grpcSection struct {
	Reflection      *bool `yaml:"reflection,omitempty" env:"" doc:"switch: let grpcurl list the service"`
	MaxRequestBytes *int  `yaml:"max_request_bytes,omitempty" env:"" doc:"bytes: a larger check request is denied; keep it 1 MiB above Envoy's with_request_body.max_request_bytes"`
	tlsSection      `yaml:",inline"`
	ClientNames     []string `yaml:"client_names,omitempty" doc:"list: DNS names or URIs of the client certificates that may connect (never common names), spiffe://TRUST-DOMAIN/* for all SPIFFE ids of a trust domain, or * for every certificate"`
}

type probesSection struct {
	tlsSection  `yaml:",inline"`
	ClientNames []string `yaml:"client_names,omitempty" doc:"list: the same as grpc.client_names, for readers of probes and metrics"`
}

type debugSection struct {
	Enabled *bool `yaml:"enabled,omitempty" env:"" doc:"switch: /debug/pprof/, /debug/config and /debug/log-level on listen.probes, for clients on this machine"`
	Remote  *bool `yaml:"remote,omitempty" doc:"switch: also for other clients, with a certificate of probes.client_names"`
}

type drainSection struct {
	Wait    *time.Duration `yaml:"wait,omitempty" env:"" doc:"duration: at a stop: from \"not ready\" to refusing new calls"`
	Timeout *time.Duration `yaml:"timeout,omitempty" env:"" doc:"duration: after that: for calls under way"`
}

type tokensSection struct {
	MaxLength       *int    `yaml:"max_length,omitempty" doc:"bytes: longest access token and secret token"`
	ExtraCharacters *string `yaml:"extra_characters,omitempty" doc:"characters: allowed in access tokens besides letters, digits and ._~-"`
}

type adminSection struct {
	Listen      *string `yaml:"listen,omitempty" field:"Address" env:"" doc:"address: where the admin API listens, with state; beyond loopback it needs TLS and authentication"`
	tlsSection  `yaml:",inline"`
	ClientNames []clientEntry `yaml:"client_names,omitempty" field:"-"`
	Tokens      []tokenEntry  `yaml:"tokens,omitempty" field:"-"`
	Hosts       []string      `yaml:"hosts,omitempty" doc:"list: host names by which the admin API may be called"`
	VaultsPath  *bool         `yaml:"vaults_path,omitempty" field:"Vaults" doc:"switch: serve /vaults as another name of /vault-auth, as Kong did up to 2.x; decK gets an empty list there"`
	UI          *bool         `yaml:"ui,omitempty" doc:"switch: serve the page for people under /ui; it asks for the token that a call needs"`
}

type tokenEntry struct {
	Name   string  `yaml:"name" doc:"name: owner of the token, for the audit log"`
	SHA256 string  `yaml:"sha256" doc:"digest: SHA-256 of the bearer token in hexadecimal"`
	Role   *string `yaml:"role,omitempty" rule:"oneof=write|read" doc:"word: write, or read for a token that may change nothing"`
}

type clientEntry struct {
	Name string  `yaml:"name" doc:"name: a DNS name or URI in the client certificate (never its common name), spiffe://TRUST-DOMAIN/* for all SPIFFE ids of a trust domain, or * for every certificate"`
	Role *string `yaml:"role,omitempty" rule:"oneof=write|read" doc:"word: write, or read for a client that may change nothing"`
}

type stateSection struct {
	Vault *string        `yaml:"vault,omitempty" doc:"name: the vault object whose server and token keep the entities of the admin API; empty for no admin API"`
	Mount *string        `yaml:"mount,omitempty" doc:"path: mount of a separate KV v2 engine for them"`
	Poll  *time.Duration `yaml:"poll,omitempty" doc:"duration: how often a replica looks for changes of other replicas"`
}

type vaultEntry struct {
	Name           string         `yaml:"name" doc:"name: what policies refer to"`
	Address        string         `yaml:"address,omitempty" doc:"URL: scheme, host and port of Vault or OpenBao, or unix: and the path of a socket; this or addresses must be set"`
	Addresses      []string       `yaml:"addresses,omitempty" field:"-" doc:"list: nodes of one cluster, tried in turn instead of address"`
	Proxy          *string        `yaml:"proxy,omitempty" doc:"URL: HTTP proxy on the way to Vault; proxy variables of the environment are not used"`
	Namespace      *string        `yaml:"namespace,omitempty" doc:"path: namespace (Vault Enterprise, OpenBao)"`
	Mount          string         `yaml:"mount" doc:"path: mount of the KV engine; not a path of Vault's own, and not the mount of the state"`
	Prefix         *string        `yaml:"prefix,omitempty" doc:"path: folder of the credentials in a shared mount; without it they are in the mount itself"`
	KV             *string        `yaml:"kv,omitempty" rule:"oneof=v1|v2" doc:"word: v1 or v2, the version of the KV engine"`
	Secrets        *string        `yaml:"secrets,omitempty" rule:"oneof=plain|hashed" doc:"word: plain or hashed, the form in which the admin API stores secret tokens; Kong reads plain ones only"`
	TokenPrefix    *string        `yaml:"token_prefix,omitempty" doc:"text: begins the tokens that the admin API makes, so that scanners recognise them, and adds a checksum; empty for tokens like Kong's"`
	Token          tokenReference `yaml:"token,omitempty" field:"-" doc:"reference: {file: PATH}, read again when it changes, {env: NAME}, or {agent: true} if a Vault agent at the address adds it; this or a login must be set"`
	Login          loginSection   `yaml:"login,omitempty" field:"-"`
	CAFile         *string        `yaml:"ca_file,omitempty" doc:"path: PEM certificates to trust instead of the system's; read again when it changes"`
	ClientCertFile *string        `yaml:"client_cert_file,omitempty" doc:"path: PEM certificate chain to show Vault; read again when it changes"`
	ClientKeyFile  *string        `yaml:"client_key_file,omitempty" doc:"path: its private key"`
	ServerName     *string        `yaml:"server_name,omitempty" field:"TLSServerName" doc:"name: expected in the server's certificate instead of the host"`
	Timeout        *time.Duration `yaml:"timeout,omitempty" doc:"duration: for one read"`
	MaxRetries     *int           `yaml:"max_retries,omitempty" doc:"number: 0 or 1 repeated reads within the timeout"`
	MaxConnections *int           `yaml:"max_connections,omitempty" doc:"number: idle connections kept; cache.max_loads if not set"`
	Cache          cacheSection   `yaml:"cache"`
}

type tokenReference struct {
	File string `yaml:"file,omitempty" doc:"path: file with the token; read again when it changes"`
	Env  string `yaml:"env,omitempty" doc:"name: of the environment variable with the token"`
	// Agent says that there is no token to send.
	Agent bool `yaml:"agent,omitempty" doc:"switch: a Vault agent at the address adds the token"`
}

type cacheSection struct {
	Capacity        *int           `yaml:"capacity,omitempty" doc:"number: credentials held; when full, the least recently used one is evicted"`
	TTL             *time.Duration `yaml:"ttl,omitempty" doc:"duration: how long a record without a ttl is used before it is read again"`
	MinTTL          *time.Duration `yaml:"min_ttl,omitempty" doc:"duration: lower limit of a record's ttl"`
	MaxTTL          *time.Duration `yaml:"max_ttl,omitempty" doc:"duration: upper limit of a record's ttl"`
	MaxStale        *time.Duration `yaml:"max_stale,omitempty" doc:"duration: how long an expired entry is used while Vault is unavailable, 0 for never"`
	AbsentTTL       *time.Duration `yaml:"absent_ttl,omitempty" doc:"duration: how long an unknown access token is remembered, 0 for never"`
	AbsentCapacity  *int           `yaml:"absent_capacity,omitempty" doc:"number: unknown access tokens remembered"`
	MaxLoads        *int           `yaml:"max_loads,omitempty" doc:"number: reads in flight; beyond that the answer is 503 at once"`
	MissesPerSecond *float64       `yaml:"misses_per_second,omitempty" doc:"number: reads a second for access tokens that are not held, twice as many at once after a quiet time; beyond that the answer is 503 at once; 0 for no limit"`
	Sweep           *time.Duration `yaml:"sweep,omitempty" field:"-" doc:"duration: how often the cache is compared with a list of the mount, to drop credentials that were deleted in Vault; 0 for never"`
}

// mode is the mode of a file, as people write it: 0660.
type mode fs.FileMode

// UnmarshalYAML implements [yaml.Unmarshaler].
func (m *mode) UnmarshalYAML(node *yaml.Node) (err error) {
	if *m, err = parseMode(node.Value); err != nil {
		return fmt.Errorf("line %d: %w", node.Line, err)
	}
	return nil
}

// MarshalYAML implements [yaml.Marshaler].
func (m mode) MarshalYAML() (any, error) { return m.String(), nil }

// String implements [fmt.Stringer].
func (m mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// parseMode wants the digits of chmod, for owner, group and all others.
func parseMode(text string) (mode, error) {
	digits := strings.TrimPrefix(strings.TrimPrefix(text, "0o"), "0")
	n, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || len(digits) != 3 {
		return 0, fmt.Errorf("%q is not a mode of a file such as 0660", text)
	}
	return mode(n), nil
}
