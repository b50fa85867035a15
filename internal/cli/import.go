package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/kongimport"
)

func importCommand(p Process) *cobra.Command {
	o := &operator{p: p}
	const example = "  vault-authz import kong kong.yaml            show what would be made\n" +
		"  vault-authz import kong kong.yaml --apply    make it\n" +
		"  vault-authz import kong kong.yaml vaults.json --apply    with what GET /vault-auth of Kong answered"
	var apply, strict bool
	kong := o.verb("kong FILE...", "Create what decK files or dumps of Kong's Admin API contain", example,
		func(ctx context.Context, s *session, args []string) error {
			return importKong(ctx, s, args, apply, strict)
		})
	kong.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 || slices.Contains(args, "") {
			return exitError{exitUsage, fmt.Errorf("give FILE; see %s --help", cmd.CommandPath())}
		}
		return nil
	}
	kong.Long = "kong reads each FILE, or standard input for -, and shows a plan: which vault objects, consumers, ACL\n" +
		"groups and plugins would be made, under the ids that they have in Kong; which exist already; which exist\n" +
		"and differ, and are left alone; which need something first; and what has no counterpart. --apply makes\n" +
		"what is missing, hundreds with each call. While the service answers 503 or is not there, it tries again,\n" +
		"until nothing could be made for a minute. After an interruption run it again: it goes on with what is\n" +
		"missing then. Credentials are not touched: they stay in Vault, where this service reads them.\n\n" +
		"FILE is what `deck gateway dump --with-id` writes, or the lists that the Admin API answers with: one after\n" +
		"the other, or as an object of lists, with all their pages. decK does not dump vault objects: give what\n" +
		"GET /vault-auth answers, too. A FILE may have Vault tokens in it; what is shown has none. The tags in\n" +
		"_info.select_tags are given to every consumer, group and plugin, as decK does.\n\n" +
		"A consumer without an id gets the UUID of version 5 of username=USERNAME (or else custom_id=CUSTOM_ID) in\n" +
		"the namespace b89a69f5-1d68-52c9-ad95-bfb66105c938, the same at every run.\n\n" +
		"Exit codes: 0 if all is made or there already; 1 if --apply failed or met something that differs; 2 if a\n" +
		"FILE cannot be read; 3 if --apply left something that needs something else first, and with --strict also if\n" +
		"there is something left that has no counterpart. Without --apply it is 0, even if the plan can only be made in part."
	kong.ValidArgsFunction = nil // files
	kong.Flags().BoolVar(&apply, "apply", false, "make what is missing")
	kong.Flags().BoolVar(&strict, "strict", false, "exit with 3 also where something has no counterpart and is left for you")
	return o.group("import", "Move from another gateway", "import creates the entities of another gateway.", example, kong)
}

// exitNeeds is the exit code of an import that left something out because something else is
// missing.
const exitNeeds = 3

// maxImport bounds the size of a file, in bytes.
const maxImport = 256 << 20

func importKong(ctx context.Context, s *session, names []string, apply, strict bool) error {
	if s.field != "" {
		return exitError{exitUsage, errors.New("--field: there are several answers; use -o json")}
	}
	var parts []kongimport.Part
	for _, name := range names {
		raw, err := readAtMost(maxImport, s.in, name)
		if errors.Is(err, errTooLong) {
			err = fmt.Errorf("%s: is larger than %d MiB; give it in parts", name, maxImport>>20)
		}
		if err != nil {
			return exitError{exitUsage, err}
		}
		parts = append(parts, kongimport.Part{Name: name, Raw: raw})
	}
	file, err := kongimport.Parse(parts...)
	if err != nil {
		return exitError{exitUsage, err}
	}
	read := kongimport.Read
	if apply {
		read = func(ctx context.Context, c *api.Client) (*kongimport.Existing, error) {
			return kongimport.Await(ctx, c, newProgress(s.errs, 0))
		}
	}
	existing, err := read(ctx, s.Client)
	if err != nil {
		return err
	}
	changes := kongimport.Plan(file, existing)
	if apply {
		bar := newProgress(s.errs, changes.Count(kongimport.Create))
		changes.Make(ctx, s.Client, file, bar)
		bar.close()
	}
	if err := showChanges(s, changes, apply); err != nil {
		return err
	}
	switch {
	case !apply:
	case changes.Count(kongimport.Failed)+changes.Count(kongimport.Differs) > 0:
		return exitError{exitFailed, errSilent}
	case changes.Count(kongimport.Needs) > 0, strict && changes.Count(kongimport.Left) > 0:
		return exitError{exitNeeds, errSilent}
	}
	return nil
}

func showChanges(s *session, changes *kongimport.Changes, applied bool) error {
	if s.asJSON {
		return printJSON(s.out, changes)
	}
	if err := changes.Print(s.out); err != nil {
		return err
	}
	if !applied && changes.Count(kongimport.Create) > 0 {
		return s.done("nothing was changed; --apply makes it")
	}
	return nil
}
