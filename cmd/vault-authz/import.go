package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/kongimport"
)

func importCommand(p process) *cobra.Command {
	o := &operator{p: p}
	const example = "  vault-authz import kong kong.yaml            show what would be made\n" +
		"  vault-authz import kong kong.yaml --apply    make it"
	var apply bool
	kong := o.verb("kong FILE", "Make what a decK file or a dump of Kong's Admin API has in it", example,
		func(ctx context.Context, s *session, args []string) error { return importKong(ctx, s, args[0], apply) })
	kong.Long = "kong reads FILE, or standard input for -, and shows a plan: which vault objects, consumers, ACL groups\n" +
		"and plugins would be made, under the ids that they have in Kong; which exist already; which exist and differ,\n" +
		"and are left alone; and what has no counterpart. --apply makes what is missing, hundreds with each call; after\n" +
		"an interruption run it again, and it goes on with what is missing then. Credentials are not touched: they stay\n" +
		"in Vault, where this service reads them.\n\n" +
		"FILE is what `deck gateway dump --with-id` writes, or the lists that the Admin API answers with: one after\n" +
		"the other, or as an object of lists. It may have Vault tokens in it; what is shown has none.\n\n" +
		"It exits with 1 if --apply failed or met something that differs, with 2 if FILE cannot be read."
	kong.ValidArgsFunction = nil // files
	kong.Flags().BoolVar(&apply, "apply", false, "make what is missing")
	return o.group("import", "Move from another gateway", "import makes what another gateway has.", example, kong)
}

// maxImport bounds what is read.
const maxImport = 256 << 20

func importKong(ctx context.Context, s *session, name string, apply bool) error {
	raw, err := readImport(s.in, name)
	if err != nil {
		return exitError{exitUsage, err}
	}
	file, err := kongimport.Parse(raw)
	if err != nil {
		return exitError{exitUsage, fmt.Errorf("%s: %w", name, err)}
	}
	existing, err := kongimport.Read(ctx, s.Client)
	if err != nil {
		return err
	}
	changes := kongimport.Plan(file, existing)
	if apply {
		bar := newProgress(s.errs, changes.Count(kongimport.Create))
		changes.Apply(ctx, s.Client, bar.ended)
		bar.close()
	}
	if err := showChanges(s, changes, apply); err != nil {
		return err
	}
	if apply && changes.Count(kongimport.Failed)+changes.Count(kongimport.Differs) > 0 {
		return exitError{exitFailed, errSilent}
	}
	return nil
}

func readImport(in io.Reader, name string) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxImport+1))
	if err == nil && len(raw) > maxImport {
		err = fmt.Errorf("%s: is larger than %d MiB; give it in parts", name, maxImport>>20)
	}
	return raw, err
}

func showChanges(s *session, changes *kongimport.Changes, applied bool) error {
	if s.asJSON {
		enc := json.NewEncoder(s.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(changes)
	}
	if err := changes.Print(s.out); err != nil {
		return err
	}
	if !applied && changes.Count(kongimport.Create) > 0 {
		return s.done("nothing was changed; --apply makes it")
	}
	return nil
}
