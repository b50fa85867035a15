package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A trial is a test binary with its changes. The first change has the number 1.
type trial struct {
	binary, dir string
	changes     []change
}

// build compiles the tests of a package with the changes of its files, or of one.
func (c *code) build(ctx context.Context, work, only string) (*trial, error) {
	t := &trial{binary: filepath.Join(work, "test"), dir: c.dir}
	replaced, seen := map[string]string{}, map[string]bool{}
	put := func(name string, data []byte) error {
		to := filepath.Join(work, filepath.Base(name))
		replaced[filepath.Join(c.dir, filepath.Base(name))] = to
		return os.WriteFile(to, data, 0o600)
	}
	for _, file := range c.syntax {
		name := c.files.Position(file.Package).Filename
		if only != "" && filepath.Base(name) != only {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		err = put(name, c.changed(file, source, func(one change) int {
			for seen[one.key()] {
				one.nth++
			}
			seen[one.key()] = true
			t.changes = append(t.changes, one)
			return len(t.changes)
		}))
		if err != nil {
			return nil, err
		}
	}
	if len(t.changes) == 0 {
		return nil, errors.New("the code has no place to change")
	}
	runtime := strings.Replace(runtimeSource, "PACKAGE", c.syntax[0].Name.Name, 1)
	if err := put("mutant_runtime.go", []byte(runtime)); err != nil {
		return nil, err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(work, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", file, "-o", t.binary, c.path)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("building the tests: %w", err)
	}
	return t, nil
}

// An outcome is the result of a change.
type outcome int

const (
	survived outcome = iota
	killed
	timedOut
)

// try runs the tests with a change, 0 for none.
func (t *trial) try(ctx context.Context, number int, limit time.Duration, flags ...string) (outcome, []byte) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.binary, append(flags, "-test.failfast", "-test.timeout", (2*limit).String())...)
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), "MUTANT="+strconv.Itoa(number))
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return timedOut, out
	case err != nil:
		return killed, out
	default:
		return survived, out
	}
}

// changesPerCheck is the number of changes after which the tests run without a change, to
// detect other reasons for failures, such as a busy machine.
const changesPerCheck = 25

// run tries one change after the other and prints those with which no test fails.
func (t *trial) run(ctx context.Context, out io.Writer, target string, named equivalents) error {
	began := time.Now()
	tidy := t.keepTidy()
	defer tidy()
	result, output := t.try(ctx, 0, 5*time.Minute, "-test.v")
	if result != survived {
		return fmt.Errorf("the tests fail without a change:\n%s", output)
	}
	took := time.Since(began)
	limit, slow := limitFor(took), slowTests(string(output), took/20)
	again := time.Now()
	if result, output := t.try(ctx, 0, limit, "-test.skip", slow); result != survived {
		return fmt.Errorf("the tests fail without a change:\n%s", output)
	}
	quick := limitFor(time.Since(again))
	var counted [3]int
	equivalent, checks, failed := 0, 0, 0
	for i, one := range t.changes {
		result, _ := t.try(ctx, i+1, quick, "-test.skip", slow)
		if result == survived {
			result, _ = t.try(ctx, i+1, limit, "-test.run", slow)
		}
		if (i+1)%changesPerCheck == 0 || i+1 == len(t.changes) {
			checks++
			if check, _ := t.try(ctx, 0, limit); check != survived {
				failed++
			}
		}
		tidy()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if result == survived && named[one.key()] {
			equivalent++
			continue
		}
		if counted[result]++; result == survived {
			fmt.Fprintln(out, one)
		}
	}
	noticed := counted[killed] + counted[timedOut]
	if failed > 0 {
		fmt.Fprintf(out, "%s: the tests failed %d of %d times without a change: some changes may only seem to be noticed\n", target, failed, checks)
	}
	fmt.Fprintf(out, "%s: %d of %d changes are noticed (%.1f %%), %d of them by a timeout; %d more make no difference; %s\n",
		target, noticed, noticed+counted[survived], 100*float64(noticed)/float64(max(1, noticed+counted[survived])),
		counted[timedOut], equivalent, time.Since(began).Round(time.Second))
	return nil
}

// limitFor returns the time limit of tests with a change, from their time without one.
func limitFor(took time.Duration) time.Duration { return 3*time.Second + 5*took }

// slowTests returns a pattern for the tests that took longer than a limit, or with such a
// subtest. Few changes are noticed only by them.
func slowTests(output string, limit time.Duration) string {
	names := []string{"nothing"}
	for _, m := range regexp.MustCompile(`(?m)^ *--- PASS: ([^/\s]+)\S* \((\S+)\)$`).FindAllStringSubmatch(output, -1) {
		if took, err := time.ParseDuration(m[2]); err == nil && took > limit {
			names = append(names, m[1])
		}
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// keepTidy returns a function that removes the files of failed tests from testdata, such as
// the inputs with which fuzz tests failed.
func (t *trial) keepTidy() func() {
	folder := filepath.Join(t.dir, "testdata")
	known := map[string]bool{}
	for _, path := range paths(folder) {
		known[path] = true
	}
	return func() {
		for _, path := range slices.Backward(paths(folder)) {
			if !known[path] {
				_ = os.Remove(path)
			}
		}
	}
}

// paths lists a folder and its content recursively, each folder before its content.
func paths(folder string) (all []string) {
	_ = filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			all = append(all, path)
		}
		return nil
	})
	return all
}
