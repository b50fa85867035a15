package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// A fault is something that goes wrong.
type fault struct {
	name string
	// durable keeps the storage, so that Vault can be restarted. tls makes the service
	// use TLS (and HTTP/2), and named a host name.
	durable, tls, named bool
	// envoy sends the requests through an Envoy.
	envoy bool
	// approle is the login of the service, nil for a token in a file.
	approle *approle
	// defaultTTL caches credentials for the default ttl instead of [ttl].
	defaultTTL bool
	// brief ends the fault as soon as possible.
	brief bool
	// harmless says that no request may fail because of the fault after its first
	// second.
	harmless bool
	// breakIt causes the fault, mend ends it.
	breakIt, mend func(ctx context.Context, bed *testbed) error
}

// faults returns all faults, in the order of the table.
func faults() []fault {
	var all []fault
	all = append(all, processFaults()...)
	all = append(all, permissionFaults()...)
	all = append(all, loginFaults()...)
	all = append(all, networkFaults()...)
	all = append(all, answerFaults()...)
	all = append(all, identityFaults()...)
	return append(all, clientFaults()...)
}

// processFaults are faults of the Vault process.
func processFaults() []fault {
	kill := func(ctx context.Context, bed *testbed) error { return bed.kill(ctx) }
	revive := func(ctx context.Context, bed *testbed) error { return bed.revive(ctx) }
	return []fault{
		{name: "killed", durable: true, breakIt: kill, mend: revive},
		{name: "killed, seen through Envoy", durable: true, envoy: true, breakIt: kill, mend: revive},
		{
			name:    "stopped (SIGSTOP)",
			breakIt: func(_ context.Context, bed *testbed) error { return bed.vault.Signal(syscall.SIGSTOP) },
			mend:    func(_ context.Context, bed *testbed) error { return bed.vault.Signal(syscall.SIGCONT) },
		},
		{
			name:    "sealed",
			breakIt: func(ctx context.Context, bed *testbed) error { return bed.vault.Seal(ctx) },
			mend:    func(ctx context.Context, bed *testbed) error { return bed.vault.Unseal(ctx) },
		},
		{
			name: "restarted, file backend", durable: true, brief: true,
			breakIt: func(_ context.Context, bed *testbed) error {
				bed.vault.Stop(10 * time.Second)
				return nil
			},
			mend: func(ctx context.Context, bed *testbed) error { return bed.restartVault(ctx) },
		},
	}
}

// kill kills Vault and closes its port.
func (bed *testbed) kill(context.Context) error {
	bed.vault.Kill()
	bed.front.refuse()
	return nil
}

// revive restarts Vault with its storage.
func (bed *testbed) revive(ctx context.Context) error {
	if err := bed.restartVault(ctx); err != nil {
		return err
	}
	return bed.front.accept(ctx, "127.0.0.1")
}

// policyName is the path of the policy of [parts.VaultAPI.ReaderToken].
const policyName = "sys/policies/acl/vault-authz-reader"

// permissionFaults remove permissions of the service in Vault.
func permissionFaults() []fault {
	var policy struct {
		Data struct {
			Policy string `json:"policy"`
		} `json:"data"`
	}
	return []fault{
		{
			name: "token revoked, new one in the file",
			breakIt: func(ctx context.Context, bed *testbed) error {
				token, err := bed.token()
				if err != nil {
					return err
				}
				return bed.vault.Revoke(ctx, token)
			},
			mend: func(ctx context.Context, bed *testbed) error { return bed.newToken(ctx) },
		},
		{
			name: "policy removed",
			breakIt: func(ctx context.Context, bed *testbed) error {
				if err := bed.vault.Do(ctx, "GET", policyName, nil, &policy); err != nil {
					return err
				}
				return bed.vault.Do(ctx, "DELETE", policyName, nil, nil)
			},
			mend: func(ctx context.Context, bed *testbed) error {
				return bed.vault.Do(ctx, "PUT", policyName, map[string]any{"policy": policy.Data.Policy}, nil)
			},
		},
		{
			name:    "mount moved",
			breakIt: func(ctx context.Context, bed *testbed) error { return bed.moveMount(ctx, mount, "elsewhere") },
			mend:    func(ctx context.Context, bed *testbed) error { return bed.moveMount(ctx, "elsewhere", mount) },
		},
	}
}

// moveMount moves a mount and waits until it is moved.
func (bed *testbed) moveMount(ctx context.Context, from, to string) error {
	var move struct {
		Data struct {
			ID string `json:"migration_id"`
		} `json:"data"`
	}
	if err := bed.vault.Do(ctx, "POST", "sys/remount", map[string]any{"from": from, "to": to}, &move); err != nil {
		return err
	}
	return parts.Await(ctx, bed.vault.Process, func(ctx context.Context) error {
		var status struct {
			Data struct {
				Info struct {
					Status string `json:"status"`
				} `json:"migration_info"`
			} `json:"data"`
		}
		err := bed.vault.Do(ctx, "GET", "sys/remount/status/"+move.Data.ID, nil, &status)
		if err == nil && status.Data.Info.Status != "success" {
			err = fmt.Errorf("moving mount %q: status %q", from, status.Data.Info.Status)
		}
		return err
	})
}

// networkFaults are faults of the network to Vault.
func networkFaults() []fault {
	link := func(s state) func(context.Context, *testbed) error {
		return func(_ context.Context, bed *testbed) error {
			bed.front.link().set(s)
			return nil
		}
	}
	delay := func(d time.Duration) func(context.Context, *testbed) error {
		return func(_ context.Context, bed *testbed) error {
			bed.front.link().delay(d)
			return nil
		}
	}
	return []fault{
		{name: "2 s of latency", breakIt: delay(2 * time.Second), mend: delay(0)},
		{name: "connection resets", breakIt: link(resets), mend: link(passes)},
		{name: "half-open connections", breakIt: link(blackholes), mend: link(passes)},
		{name: "half-open connections, TLS and HTTP/2", tls: true, breakIt: link(blackholes), mend: link(passes)},
		{name: "answers cut in the middle", breakIt: link(truncates), mend: link(passes)},
	}
}

// answerFaults are errors that Vault or a load balancer answers.
func answerFaults() []fault {
	mend := func(_ context.Context, bed *testbed) error {
		bed.front.answerWith(nil)
		return nil
	}
	return []fault{
		{
			name: "5xx",
			breakIt: func(_ context.Context, bed *testbed) error {
				bed.front.answerWith(serverErrors())
				return nil
			},
			mend: mend,
		},
		{
			name: "429 (rate limit quota of 1/s)",
			breakIt: func(ctx context.Context, bed *testbed) error {
				return bed.vault.Do(ctx, "POST", "sys/quotas/rate-limit/chaos", map[string]any{"rate": 1, "path": mount}, nil)
			},
			mend: func(ctx context.Context, bed *testbed) error {
				return bed.vault.Do(ctx, "DELETE", "sys/quotas/rate-limit/chaos", nil, nil)
			},
		},
	}
}

// serverErrors answers 500 as Vault does, and 502, 503 and 504 as load balancers do.
func serverErrors() http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		status := []int{500, 502, 503, 504}[n.Add(1)%4]
		body := "<html><body><h1>" + http.StatusText(status) + "</h1></body></html>\n"
		if status == http.StatusInternalServerError {
			w.Header().Set("Content-Type", "application/json")
			body = `{"errors":["internal error"]}`
		}
		w.WriteHeader(status)
		_, _ = io.Copy(w, strings.NewReader(body))
	}
}

// identityFaults change the certificate or the address of Vault.
func identityFaults() []fault {
	return []fault{
		{
			name: "server certificate rotated", tls: true, brief: true, harmless: true,
			breakIt: func(_ context.Context, bed *testbed) error { return bed.showCertificate() },
			mend:    func(context.Context, *testbed) error { return nil },
		},
		{
			name: "CA rotated, new one in ca_file later", tls: true,
			breakIt: func(_ context.Context, bed *testbed) error {
				return errors.Join(bed.newAuthority(), bed.showCertificate())
			},
			mend: func(_ context.Context, bed *testbed) error { return bed.trustAuthority() },
		},
		{
			name: "name moved to another address", named: true,
			// The old address does not close its connections.
			breakIt: func(_ context.Context, bed *testbed) error {
				bed.front.link().set(blackholes)
				return nil
			},
			mend: func(ctx context.Context, bed *testbed) error {
				if err := bed.front.accept(ctx, "127.0.0.2"); err != nil {
					return err
				}
				return bed.moveVaultName("127.0.0.2")
			},
		},
	}
}

// showCertificate makes the front use a new certificate on new connections.
func (bed *testbed) showCertificate() error {
	certificate, err := bed.certificate()
	if err != nil {
		return err
	}
	bed.front.certificate.Store(certificate)
	bed.front.link().closeConnections()
	return nil
}
