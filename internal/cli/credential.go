package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/api"
)

func credentialCommand(p Process) *cobra.Command {
	o := &operator{p: p}
	return o.group("credential", "Credentials: pairs of an access token and a secret token",
		"credential lists, shows, creates, changes, rotates and deletes the credentials of consumers.\n"+
			"--vault may be left out where there is one vault object only.",
		"  vault-authz credential create alice\n"+
			"  vault-authz credential rotate ACCESS_TOKEN --grace 1h\n"+
			"  vault-authz credential delete ACCESS_TOKEN",
		o.listCredentials(),
		o.getCredential(),
		o.createCredential(),
		o.updateCredential(),
		o.disableCredential("disable ACCESS_TOKEN", "Refuse a credential until it is enabled again (lock it); nothing is deleted", true),
		o.disableCredential("enable ACCESS_TOKEN", "Accept a disabled credential again", false),
		o.rotateCredential(),
		o.rehashCredentials(),
		o.deleteCredential(),
	)
}

// ofVault adds --vault.
func ofVault(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String("vault", "", "`NAME` or id of the vault object")
	return cmd
}

// meantVault returns the vault object of --vault, or the only one where it is not given.
func (s *session) meantVault(ctx context.Context) (api.Vault, error) {
	defer s.answers.forget()
	if name := s.flag("vault"); name != "" {
		return s.vault(ctx, name)
	}
	all, err := s.Vaults.List(ctx)
	if err == nil && len(all) != 1 {
		err = exitError{exitUsage, fmt.Errorf("there are %d vault objects, give --vault; see vault-authz vault list", len(all))}
	}
	if err != nil {
		return api.Vault{}, err
	}
	return all[0], nil
}

func (o *operator) listCredentials() *cobra.Command {
	var consumer string
	var filter credentialFilter
	var exitCode bool
	cmd := o.verb("list", "List credentials, of a vault object or of a consumer",
		"  vault-authz credential list\n  vault-authz credential list --consumer alice\n  vault-authz credential list --state active --expiring 14d --exit-code\n  vault-authz credential list --unused 90d",
		func(ctx context.Context, s *session, _ []string) error {
			if s.flag("vault") != "" && consumer != "" {
				return exitError{exitUsage, errors.New("give --vault or --consumer, not both")}
			}
			all, in, err := s.credentials(ctx, consumer)
			if err != nil {
				return err
			}
			some, err := filter.choose(all, time.Now())
			if err != nil {
				return err
			}
			if warning := filter.warning(all, time.Now()); warning != "" {
				fmt.Fprintln(s.errs, "note:", warning)
			}
			if err := s.answers.keep(some); err != nil {
				return err
			}
			usernames, err := s.usernames(ctx)
			if err != nil {
				return err
			}
			var lines [][]string
			for _, c := range some {
				if c.Vault != nil {
					in = c.Vault.Name
				}
				lines = append(lines, []string{
					c.AccessToken, usernames.of(c.Consumer), in, credentialState(c.Credential), ttl(c.TTL),
					moment(c.NotBefore), moment(c.ExpiresAt), lastUse(c.Credential), moment(c.CreatedAt),
				})
			}
			err = s.many([]string{"ACCESS TOKEN", "CONSUMER", "VAULT", "STATE", "TTL", "NOT BEFORE", "EXPIRES", "LAST USED", "CREATED"}, lines)
			if err == nil && exitCode && len(some) > 0 {
				err = exitError{exitFailed, errSilent}
			}
			return err
		})
	cmd.Long = "list shows credentials without their secrets. STATE is what a request with the right secret would meet:\n\n" +
		"  good               allowed\n" +
		"  rotating           allowed, with the secret before the last rotation too\n" +
		"  disabled           refused until it is enabled\n" +
		"  not_yet_valid      refused until NOT BEFORE\n" +
		"  expired            refused since EXPIRES\n" +
		"  unknown_consumer   refused: its consumer does not exist\n" +
		"  malformed_record   refused: what is in Vault cannot be understood\n" +
		"  no_policy          refused: no policy uses the vault object\n" +
		"  acl                refused by the groups of every policy; \"acl under NAME\" of that policy alone"
	cmd.Flags().StringVar(&consumer, "consumer", "", "`USERNAME` or id of a consumer, for its credentials in all vault objects")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 1 if the list is not empty, for a job that tells somebody")
	filter.register(cmd.Flags())
	return ofVault(cmd)
}

// credentials returns those of a consumer, each of which names its vault object, or those of
// the vault object called in.
func (s *session) credentials(ctx context.Context, consumer string) (all []api.Credential, in string, err error) {
	if consumer != "" {
		all, err = s.ConsumerCredentials(ctx, consumer)
		return all, "", unknown(err, "consumer", consumer)
	}
	v, err := s.meantVault(ctx)
	if err != nil {
		return nil, "", err
	}
	all, err = s.Credentials(ctx, v.ID)
	return all, v.Name, err
}

// credentialState says what a request with the credential would get, in the words of check.
func credentialState(c api.Credential) string {
	state := stateWord(c)
	if len(c.RefusedBy) > 0 {
		state += ", acl under " + list(c.RefusedBy)
	}
	return state
}

// The states of a credential that is let in.
const (
	stateGood     = "good"
	stateRotating = "rotating"
)

// stateWord is credentialState without the policies that refuse the credential.
func stateWord(c api.Credential) string {
	if c.State == stateGood && c.PreviousExpiresAt != nil && *c.PreviousExpiresAt > time.Now().Unix() {
		return stateRotating
	}
	return c.State
}

func ttl(seconds *int64) string {
	if seconds == nil {
		return ""
	}
	return fmt.Sprintf("%ds", *seconds)
}

func (o *operator) getCredential() *cobra.Command {
	return ofVault(o.verb("get ACCESS_TOKEN", "Show a credential without its secret", "  vault-authz credential get ACCESS_TOKEN --vault main",
		func(ctx context.Context, s *session, args []string) error {
			v, err := s.meantVault(ctx)
			if err != nil {
				return err
			}
			c, err := s.Credential(ctx, v.ID, args[0])
			if err != nil {
				return noCredential(err)
			}
			return s.showCredential(ctx, c)
		}))
}

// noCredential explains a credential that is not found without repeating its access token.
func noCredential(err error) error {
	return missing(err, "credential list", "there is no credential with this access token in the vault object")
}

// showNewCredential shows a credential with the secret that the service has generated. A
// secret that the operator has supplied is not printed back.
func (s *session) showNewCredential(ctx context.Context, c api.Credential, supplied bool) error {
	if supplied {
		c.SecretToken = ""
		if err := s.answers.withhold("secret_token"); err != nil {
			return err
		}
	}
	return s.showCredential(ctx, c)
}

// showCredential shows the secret too where the answer has one: after a creation and a
// rotation.
func (s *session) showCredential(ctx context.Context, c api.Credential) error {
	if c.SecretToken != "" {
		defer fmt.Fprintln(s.errs, "The secret token is not shown again: keep it now, in a safe place.")
	}
	rows := []row{{"access token", c.AccessToken}}
	if c.SecretToken != "" {
		rows = append(rows, row{"secret token", c.SecretToken})
	}
	rows = append(rows, row{"consumer", s.usernameOf(ctx, c.Consumer)}, row{"state", credentialState(c)})
	if c.Mistake != "" {
		rows = append(rows, row{"mistake", c.Mistake})
	}
	rows = append(rows,
		row{"ttl", ttl(c.TTL)},
		row{"not before", moment(c.NotBefore)}, row{"expires", moment(c.ExpiresAt)},
		row{"old secret until", moment(c.PreviousExpiresAt)},
	)
	if use := lastUse(c); use != "" {
		rows = append(rows, row{"last used", use})
	}
	return s.one(append(rows, row{"created", moment(c.CreatedAt)}, row{"updated", moment(c.UpdatedAt)})...)
}

// usernameOf falls back on the id: a new secret must be shown whatever else fails.
func (s *session) usernameOf(ctx context.Context, consumer *api.Ref) string {
	if s.asJSON || consumer == nil {
		return ""
	}
	if c, err := s.Consumers.Get(ctx, consumer.ID); err == nil && text(c.Username) != "" {
		return text(c.Username)
	}
	return consumer.ID
}

func (o *operator) createCredential() *cobra.Command {
	var c api.Credential
	var from, life, notBefore, expires string
	cmd := o.verb("create CONSUMER", "Create a credential and show its secret, once",
		"  vault-authz credential create alice\n"+
			"  vault-authz credential create alice --vault main --expires-at 90d\n"+
			"  printf %s \"$SECRET\" | vault-authz credential create alice --access-token alice-1 --secret-token-file -\n"+
			"  vault-authz credential create alice --access-token alice-2 --field secret_token",
		func(ctx context.Context, s *session, args []string) error {
			var err error
			if c.TTL, err = lifetime("ttl", life); err != nil {
				return err
			}
			if c.NotBefore, err = unix("not-before", notBefore); err != nil {
				return err
			}
			if c.ExpiresAt, err = unix("expires-at", expires); err != nil {
				return err
			}
			if c.SecretToken, err = s.suppliedSecret(ctx, from); err != nil {
				return err
			}
			v, err := s.meantVault(ctx)
			if err != nil {
				return err
			}
			created, err := s.CreateCredential(ctx, v.ID, args[0], c)
			if err != nil {
				return unknown(err, "consumer", args[0])
			}
			return s.showNewCredential(ctx, created, from != "")
		})
	cmd.Long = "create makes a credential and shows its secret, this once, unless it was supplied. An access token that exists is\n" +
		"refused: rotate replaces a secret, and keeps the old one good for a grace."
	f := cmd.Flags()
	f.StringVar(&c.AccessToken, "access-token", "", "`TOKEN` that names it, random by default")
	f.StringVar(&from, secretFlag, "", "`FILE` with the secret token, - for standard input, random by default")
	f.StringVar(&life, "ttl", "", "`SPAN` after which it is read from Vault again, like 30s or 15m")
	f.StringVar(&notBefore, "not-before", "", "`TIME` before which it is refused: "+timeForms)
	f.StringVar(&expires, "expires-at", "", "`TIME` from which on it is refused: "+timeForms+"; for the end of March 2030-04-01")
	f.BoolVar(&c.Disabled, "disabled", false, "create it disabled")
	return ofVault(cmd)
}

const secretFlag = "secret-token-file"

// suppliedSecret reads the secret token that the operator supplies, "" without one.
func (s *session) suppliedSecret(ctx context.Context, from string) (string, error) {
	if from == "" {
		return "", nil
	}
	return s.secret(ctx, secretFlag, "Secret token", from)
}

func (o *operator) rotateCredential() *cobra.Command {
	var from, grace string
	var force bool
	cmd := o.destructive("rotate ACCESS_TOKEN", "Replace the secret of a credential and show the new one, once",
		"  vault-authz credential rotate ACCESS_TOKEN --vault main --grace 24h\n"+
			"  vault-authz credential rotate ACCESS_TOKEN --grace 7d\n"+
			"  vault-authz credential rotate ACCESS_TOKEN --grace 0s --yes",
		func(ctx context.Context, s *session, args []string) error {
			good, err := until("grace", grace, time.Now())
			if err != nil {
				return err
			}
			if good > api.MaxGrace {
				return exitError{exitUsage, fmt.Errorf("--grace: %s is too long; the old secret is good for %d days at the most", grace, api.MaxGrace/(24*3600))}
			}
			r := api.Rotation{Grace: &good, Force: force}
			if r.SecretToken, err = s.suppliedSecret(ctx, from); err != nil {
				return err
			}
			v, err := s.meantVault(ctx)
			if err != nil {
				return err
			}
			if err := s.confirm(ctx, "Replace the secret token? The old one is good for %s.", time.Duration(good)*time.Second); err != nil {
				return err
			}
			c, err := s.RotateCredential(ctx, v.ID, args[0], r)
			if err != nil {
				return noCredential(err)
			}
			return s.showNewCredential(ctx, c, from != "")
		})
	cmd.Long = "rotate replaces the secret of a credential and shows the new one, this once, unless it was supplied. The old secret is\n" +
		"good for the grace; until that is over, another rotation is refused unless it is forced."
	f := cmd.Flags()
	f.StringVar(&grace, "grace", "1h", "until `WHEN` the old secret is accepted: "+timeForms)
	f.StringVar(&from, secretFlag, "", "`FILE` with the new secret token, - for standard input, random by default")
	f.BoolVar(&force, "force", false, "rotate within the grace of the last rotation too, which ends that grace")
	return ofVault(cmd)
}

func (o *operator) deleteCredential() *cobra.Command {
	return ofVault(o.destructive("delete ACCESS_TOKEN", "Delete a credential, which revokes it", "  vault-authz credential delete ACCESS_TOKEN --vault main --yes",
		func(ctx context.Context, s *session, args []string) error {
			v, err := s.meantVault(ctx)
			if err != nil {
				return err
			}
			if err := s.confirm(ctx, "Delete the credential? It is refused from then on."); err != nil {
				return err
			}
			if err := s.DeleteCredential(ctx, v.ID, args[0]); err != nil {
				return noCredential(err)
			}
			return s.done("the credential is deleted")
		}))
}
