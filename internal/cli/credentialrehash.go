package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/backoff"
)

func (o *operator) rehashCredentials() *cobra.Command {
	var destroy, weak bool
	cmd := o.destructive("rehash", "Replace the secrets in a vault object by their hashes",
		"  vault-authz vault update main --secrets hashed\n"+
			"  vault-authz credential rehash --vault main\n"+
			"  vault-authz credential rehash --vault main --destroy-old-versions --yes",
		func(ctx context.Context, s *session, _ []string) error {
			if s.field != "" {
				return exitError{exitUsage, errors.New("--field: there are several answers; use -o json")}
			}
			v, err := s.meantVault(ctx)
			if err != nil {
				return err
			}
			if v.Secrets != api.SecretsHashed {
				return exitError{exitUsage, fmt.Errorf("the vault object keeps secrets in clear text; first: vault-authz vault update %s --secrets hashed", printable(v.Name))}
			}
			question := "Replace the secrets in vault object %q by their hashes? Nobody can read them any more, and Kong may not be able to use them. Until this has ended, delete with \"credential delete\", not by hand."
			if destroy {
				question += " What earlier versions contain is lost, and so is what was deleted."
			}
			if err := s.confirm(ctx, question, v.Name); err != nil {
				return err
			}
			return s.rehash(ctx, v.ID, api.Rehash{DestroyOldVersions: destroy, WeakToo: weak})
		})
	cmd.Long = "rehash replaces each secret that a vault object has in clear text by its SHA-256. Clients notice nothing. The vault object\n" +
		"must have secrets: hashed. It can be interrupted and repeated: what is hashed is left as it is. While the service answers\n" +
		"503 or is not there, it tries again, for up to a minute for each page.\n\n" +
		"In KV v2, earlier versions still have the secrets in clear text, until --destroy-old-versions destroys them, also those of\n" +
		"deleted credentials. The Vault token needs the policy destroy-v2.hcl for that.\n\n" +
		"Secrets that can be found by trying stay in clear text and are listed: rotate them and run it again, or add --weak-too, which\n" +
		"hashes them, too. Afterwards nothing shows which they were. Entries that are not credentials stay, and are listed.\n\n" +
		"While it runs, do not write or delete records by hand, which it may undo: use credential rotate and credential delete. Run it once\n" +
		"more when all replicas have secrets: hashed.\n\n" +
		"Exit codes: 0 if no secret is left in clear text; 1 if something failed, or is left."
	cmd.Flags().BoolVar(&destroy, "destroy-old-versions", false, "destroy what earlier versions in KV v2 contain, for good")
	cmd.Flags().BoolVar(&weak, "weak-too", false, "also hash secrets that can be found by trying")
	return ofVault(cmd)
}

const (
	// rehashPatience is the time without an answer of use after which rehash gives up.
	rehashPatience = time.Minute
	// rehashTries is how often a page is asked for of which a part fails.
	rehashTries = 4
)

// A rehashRun is one run of rehash, page by page.
type rehashRun struct {
	*session
	vault string
	how   api.Rehash
	sum   api.Rehashed
	bar   *progress
}

func (s *session) rehash(ctx context.Context, vault string, how api.Rehash) error {
	r := &rehashRun{session: s, vault: vault, how: how, bar: newProgress(s.errs, 0)}
	first := true
	for next := ""; first || next != ""; first = false {
		page, after, err := r.page(ctx, next)
		if first && page.Total > 0 {
			r.bar.of(page.Total)
		}
		r.bar.Made(page.Checked)
		r.sum.Total, r.sum.Checked = page.Total, r.sum.Checked+page.Checked
		r.sum.Unusable, r.sum.Failed = append(r.sum.Unusable, page.Unusable...), append(r.sum.Failed, page.Failed...)
		if err != nil {
			// A hashed secret that is easy to guess does not show in another run.
			r.bar.close()
			return errors.Join(err, r.report())
		}
		next = after
	}
	r.bar.close()
	if err := r.report(); err != nil {
		return err
	}
	left := len(r.sum.Unusable) + len(r.sum.Failed)
	if !how.WeakToo {
		left += len(r.sum.Guessable)
	}
	if left > 0 {
		return exitError{exitFailed, errSilent}
	}
	return nil
}

// page has a page rehashed. If something in it fails it is asked for again: what is hashed
// is left as it is. If nothing in it can be done, the service or its Vault is down, which
// may take longer.
func (r *rehashRun) page(ctx context.Context, next string) (page api.Rehashed, after string, err error) {
	pauses := backoff.Exponential{First: 500 * time.Millisecond, Max: 8 * time.Second}
	tries, began := 0, time.Now()
	for {
		page, after, err = r.Rehash(ctx, r.vault, r.how, next)
		r.answers.forget()
		r.sum.Hashed, r.sum.VersionsDestroyed = r.sum.Hashed+page.Hashed, r.sum.VersionsDestroyed+page.VersionsDestroyed
		r.sum.Guessable = append(r.sum.Guessable, page.Guessable...)
		failed := len(page.Failed)
		switch {
		case err != nil && !api.Transient(err), err == nil && failed == 0:
			return page, after, err
		case err == nil:
			err = fmt.Errorf("%d of %d credentials: %s", failed, page.Checked, page.Failed[0].Message)
		}
		if tries++; failed > 0 && failed < page.Checked && tries >= rehashTries {
			return page, after, nil
		}
		if time.Since(began) >= rehashPatience {
			return page, after, fmt.Errorf("%w; run it again", err)
		}
		pause := pauses.Next()
		r.bar.Waiting(err, pause)
		if backoff.Sleep(ctx, pause) != nil {
			return page, after, errors.New("interrupted; run it again to go on")
		}
	}
}

func (r *rehashRun) report() error {
	slices.Sort(r.sum.Guessable)
	r.sum.Guessable = slices.Compact(r.sum.Guessable) // a page may have been tried several times
	if r.asJSON {
		return printJSON(r.out, &r.sum)
	}
	if err := r.one(
		row{"entries", strconv.Itoa(r.sum.Checked)}, row{"hashed now", strconv.Itoa(r.sum.Hashed)},
		row{"old versions destroyed", strconv.Itoa(r.sum.VersionsDestroyed)},
	); err != nil {
		return err
	}
	for _, token := range r.sum.Guessable {
		fmt.Fprintf(r.out, "easy to guess, rotate it: %s\n", printable(token))
	}
	for _, token := range r.sum.Unusable {
		fmt.Fprintf(r.out, "not a credential, left as it is: %s\n", printable(token))
	}
	for _, f := range r.sum.Failed {
		fmt.Fprintf(r.out, "failed, run it again: %s: %s\n", printable(f.AccessToken), printable(f.Message))
	}
	return nil
}
