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

// A fault is one way for things to go wrong.
type fault struct {
	name string
	// durable Vaults can be started again; tls has the service ask over TLS
	// (and HTTP/2), and named by a name of its own.
	durable, tls, named bool
	// envoy puts an Envoy in front.
	envoy bool
	// approle has the service log in by it, nil for a token in a file.
	approle *approle
	// lifelong credentials live as long as by default.
	defaultTTL bool
	// brief faults end as soon as they can be mended.
	brief bool
	// harmless ones must not be felt, but for requests that are under way in
	// the first second.
	harmless bool
	// breakIt and mend do it, and undo it.
	breakIt, mend func(ctx context.Context, bed *testbed) error
}

// faults are all of them, in the order of the table.
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

// processFaults happen to Vault itself.
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

// kill ends Vault without a goodbye; its port is closed.
func (bed *testbed) kill(context.Context) error {
	bed.vault.Kill()
	bed.front.refuse()
	return nil
}

// revive starts Vault again on its storage.
func (bed *testbed) revive(ctx context.Context) error {
	if err := bed.restartVault(ctx); err != nil {
		return err
	}
	return bed.front.accept(ctx, "127.0.0.1")
}

// policyName is that of the reader token of parts.
const policyName = "sys/policies/acl/vault-authz-reader"

// permissionFaults take away what the service may do in Vault.
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

// moveMount moves a mount and waits until Vault has done it.
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

// networkFaults happen on the way to Vault.
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

// answerFaults are answers of Vault, or of what stands before it.
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

// serverErrors are 500 as Vault says it, and 502, 503 and 504 as balancers do.
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

// identityFaults change who Vault is and where.
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
			// Who leaves an address does not say goodbye.
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

// showCertificate has the front begin anew with a new certificate.
func (bed *testbed) showCertificate() error {
	certificate, err := bed.certificate()
	if err != nil {
		return err
	}
	bed.front.certificate.Store(certificate)
	bed.front.link().closeConnections()
	return nil
}
