package config

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/api"
)

// Show returns the effective configuration as a YAML document that [Parse]
// takes. It refers to secrets as the file did and contains none.
func (c *Config) Show() ([]byte, error) { return yaml.Marshal(c.file()) }

// file is the document that reads as c.
func (c *Config) file() *file {
	f := file{
		Listen:        listenSection{&c.Listen.GRPC, &c.Listen.Probes, (*mode)(&c.Listen.SocketMode), &c.Listen.SocketGroup},
		AddressesFile: c.AddressesFile,
		Log:           showLog(&c.Log),
		GRPC:          showGRPC(&c.GRPC),
		Probes:        probesSection{showTLS(&c.Probes.TLS.Listener), c.Probes.TLS.ClientNames},
		Debug:         debugSection{&c.Debug.Enabled, &c.Debug.Remote},
		Drain:         drainSection{&c.Drain.Wait, &c.Drain.Timeout},
		Tokens:        tokensSection{&c.Grammar.MaxLength, &c.Grammar.ExtraCharacters},
	}
	f.Admin, f.State = showAdmin(&c.Admin), stateSection{&c.State.Vault, &c.State.Mount, &c.State.Poll}
	for i := range c.Vaults {
		f.Vaults = append(f.Vaults, showVault(&c.Vaults[i]))
	}
	for i := range c.Consumers {
		f.Consumers = append(f.Consumers, api.ConsumerOf(&c.Consumers[i]))
	}
	for i := range c.Policies {
		f.Policies = append(f.Policies, api.PolicyOf(&c.Policies[i]))
	}
	return &f
}

func showLog(c *Log) logSection {
	return logSection{
		&c.Level, &c.Format, &c.AllowSample,
		decisionsSection{&c.Decisions.Level, &c.Decisions.Target},
		auditSection{&c.Audit.Target, &c.Audit.OnFailure},
	}
}

func showGRPC(c *GRPC) grpcSection {
	return grpcSection{&c.Reflection, &c.MaxRequestBytes, showTLS(&c.TLS.Listener), c.TLS.ClientNames}
}

func showAdmin(c *admin.Config) adminSection {
	s := adminSection{
		Listen: &c.Address, tlsSection: showTLS(&c.Listener),
		Hosts: c.Hosts, VaultsPath: &c.Vaults, UI: &c.UI,
	}
	for _, t := range c.Tokens {
		s.Tokens = append(s.Tokens, tokenEntry{t.Name, t.SHA256, (*string)(&t.Role)})
	}
	for _, n := range c.ClientNames {
		s.ClientNames = append(s.ClientNames, clientEntry{n.Name, (*string)(&n.Role)})
	}
	return s
}

func showVault(v *Vault) vaultEntry {
	c := &v.Cache
	e := vaultEntry{
		Name: v.Name, Address: v.Address, Proxy: &v.Proxy, Namespace: &v.Namespace, Mount: v.Mount, Prefix: &v.Prefix, KV: &v.KV, Secrets: &v.Secrets, TokenPrefix: (*string)(&v.TokenPrefix),
		Token:  tokenReference{File: v.TokenFile, Env: v.TokenEnv, Agent: v.Agent},
		Login:  showLogin(v.Login),
		CAFile: &v.CAFile, ClientCertFile: &v.ClientCertFile, ClientKeyFile: &v.ClientKeyFile, ServerName: &v.TLSServerName,
		Timeout: &v.Timeout, MaxRetries: &v.MaxRetries, MaxConnections: &v.MaxConnections,
		Cache: cacheSection{
			&c.Capacity, &c.TTL, &c.MinTTL, &c.MaxTTL, &c.MaxStale,
			&c.AbsentTTL, &c.AbsentCapacity, &c.MaxLoads, &c.MissesPerSecond, &v.Sweep.Interval,
		},
	}
	if addresses := strings.Split(v.Address, ","); len(addresses) > 1 {
		e.Address, e.Addresses = "", addresses
	}
	return e
}
