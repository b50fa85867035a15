package vaults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// Connect tries each vault object as serve would use it: it logs in, reads, renews the token,
// and reads the state. It writes what it finds to out, a line for each finding, and returns an
// error if a vault object cannot be used.
func Connect(ctx context.Context, c *config.Config, out io.Writer) error {
	failed := 0
	clusters := vaultkv.NewClusters(vaultkv.DefaultProofAge)
	for i := range c.Vaults {
		if !connectOne(ctx, clusters, c, &c.Vaults[i], out) {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d vault objects cannot be used", failed, len(c.Vaults))
	}
	return nil
}

func connectOne(ctx context.Context, clusters *vaultkv.Clusters, c *config.Config, v *config.Vault, out io.Writer) bool {
	say := func(format string, args ...any) {
		fmt.Fprintf(out, "vault object %q: %s\n", v.Name, fmt.Sprintf(format, args...))
	}
	for _, setting := range v.InsecureSettings() {
		say("warning: %s", setting)
	}
	if l, is := v.Login.(login.AppRole); is && l.Wrapped {
		// serve would find it used and report that it was stolen.
		say("not tried: the wrapping token in %q can be used only once, and serve needs it", l.SecretIDFile)
		return true
	}
	vault, err := clusters.New(v.Config, zap.NewNop())
	if err != nil {
		say("%v", err)
		return false
	}
	// The token first: it has more time for the login than a read.
	tokenProblem := vault.CheckToken(ctx)
	err = vault.Check(ctx)
	if err == nil && c.State.Vault == v.Name {
		err = tryState(ctx, vault, c.State.Mount)
	}
	var listProblem error
	if err == nil && v.Sweep.Interval > 0 {
		listProblem = vault.EachKey(ctx, func(string) {})
	}
	life := vault.TokenLife()
	if stopped := vault.Stop(ctx); stopped != nil && tokenProblem == nil {
		tokenProblem = stopped
	}
	if err == nil && life.Limited {
		// The token works now, but serve could not keep it alive.
		err, tokenProblem = tokenProblem, nil
	}
	if err != nil {
		say("%v", err)
		return false
	}
	for _, problem := range []error{tokenProblem, listProblem} {
		if problem != nil {
			say("warning: %v", problem)
		}
	}
	say("ok%s", tokenText(life))
	return true
}

// noVersion is a version that no entry has.
const noVersion = math.MaxInt32

// tryState reads from the state what serve reads first, and has the server refuse a write for
// its version only: nothing is written.
func tryState(ctx context.Context, home *vaultkv.Vault, mount string) error {
	state, err := home.WithMount("state", mount, vaultkv.KV2, zap.NewNop())
	if err != nil {
		return err
	}
	_, _, _, err = state.ReadVersion(ctx, "checkpoint")
	if err == nil {
		_, err = state.ListUnder(ctx, "records")
	}
	if err == nil {
		var written bool
		if _, written, err = state.WriteVersion(ctx, "checkpoint", []byte("{}"), noVersion); written {
			err = errors.New("the server has written an entry over a version that does not exist, so it is not a KV version 2 engine. The checkpoint is overwritten: restore its previous version")
		}
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}
