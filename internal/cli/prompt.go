package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// destructive returns a verb that asks for confirmation. Without a terminal to ask on it
// requires --yes before it calls anything.
func (o *operator) destructive(use, short, example string, run action) *cobra.Command {
	var yes bool
	cmd := o.verb(use, short, example, func(ctx context.Context, s *session, args []string) error {
		if _, ok := terminal(s.in); !yes && !ok {
			return exitError{exitUsage, fmt.Errorf("%s asks for confirmation, and there is no terminal to ask on; repeat it with --yes", s.cmd.CommandPath())}
		}
		s.confirmed = yes
		return run(ctx, s, args)
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// confirm asks whether to go on.
func (s *session) confirm(ctx context.Context, format string, args ...any) error {
	if s.confirmed {
		return nil
	}
	fmt.Fprintf(s.errs, format+" [y/N] ", args...)
	answer, err := await(ctx, func() (string, error) { return bufio.NewReader(s.in).ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(s.errs)
		return exitError{exitFailed, fmt.Errorf("not confirmed, nothing was changed: %w", err)}
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	default:
		return exitError{exitFailed, errors.New("not confirmed, nothing was changed")}
	}
}

// await returns what read returns, or an error when ctx ends: an interrupt does not end a read
// from a terminal.
func await(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		text string
		err  error
	}
	results := make(chan result, 1)
	go func() {
		text, err := read()
		results <- result{text, err}
	}()
	select {
	case r := <-results:
		return r.text, r.err
	case <-ctx.Done():
		return "", errors.New("interrupted")
	}
}

// terminal returns the file descriptor of a reader that is a terminal.
func terminal(r io.Reader) (fd int, ok bool) {
	f, isFile := r.(*os.File)
	if !isFile {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

func (s *session) hidden(ctx context.Context, fd int, what string) (string, error) {
	state, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(s.errs, "%s: ", what)
	value, err := await(ctx, func() (string, error) {
		raw, err := term.ReadPassword(fd)
		return string(raw), err
	})
	_ = term.Restore(fd, state) // after an interrupt the terminal would stay without echo
	fmt.Fprintln(s.errs)
	if err != nil {
		return "", err
	}
	return trimmed(value)
}
