package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// contenders starts the product, or with -try each variant of it, with the stub before it
// in the first case. The first is what the others are compared with.
func (b *bench) contenders(ctx context.Context, p product) (started []contender, stop func(), err error) {
	stop = func() {
		for _, c := range started {
			b.stop(c.server)
		}
	}
	if len(b.trials) == 0 {
		stub, err := b.startNoop(ctx)
		if err != nil {
			return started, stop, err
		}
		started = append(started, contender{name: "noop", server: stub, ask: hit})
		ours, err := b.startProduct(ctx, p)
		if err != nil {
			return started, stop, err
		}
		return append(started, contender{name: "vault-authz", server: ours, ask: hit}), stop, nil
	}
	// Twice the same: what differs between them is noise.
	for _, change := range append([]string{"as-it-is", "as-it-is,again"}, b.trials...) {
		changed, err := b.changed(ctx, p, change)
		if err != nil {
			return started, stop, fmt.Errorf("%s: %w", change, err)
		}
		s, err := b.startProduct(ctx, changed)
		if err != nil {
			return started, stop, fmt.Errorf("%s: %w", change, err)
		}
		started = append(started, contender{name: change, server: s, ask: hit})
	}
	return started, stop, nil
}

// changed is p with the change that -try names.
func (b *bench) changed(ctx context.Context, p product, change string) (product, error) {
	switch {
	case strings.HasPrefix(change, "as-it-is"):
	case isVariable(change):
		p.env = append(slices.Clone(p.env), change)
	case isProgram(change):
		p.binary = change
	default:
		name := fmt.Sprintf("trial-%d", slices.Index(b.trials, change))
		var err error
		if p.binary, err = b.buildWith(ctx, name, change); err != nil {
			return p, err
		}
	}
	return p, nil
}

// isVariable says whether a setting is for the environment, such as GOGC=400.
func isVariable(setting string) bool {
	name, _, ok := strings.Cut(setting, "=")
	return ok && name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == ""
}

// isProgram says whether a setting is the path of a program. One with a slash
// that does not exist fails as an option of grpc.NewServer.
func isProgram(setting string) bool {
	info, err := os.Stat(setting)
	return err == nil && info.Mode().IsRegular() && strings.Contains(setting, "/")
}

// module is where our packages are.
const module = "github.com/vault-authz/vault-authz/"

// grpcPackage is where the product makes its gRPC server.
const grpcPackage = module + "envoy"

// buildWith builds vault-authz with further options of grpc.NewServer, written
// as in Go and separated by commas. The source is not touched: go build takes
// the changed file from an overlay.
func (m *machinery) buildWith(ctx context.Context, name, options string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", grpcPackage).Output()
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w", grpcPackage, err)
	}
	source := filepath.Join(strings.TrimSpace(string(out)), "server.go")
	before, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	after, err := withOptions(before, options)
	if err != nil {
		return "", fmt.Errorf("%s: %w", source, err)
	}
	changed := filepath.Join(m.dir, name+".go")
	if err := os.WriteFile(changed, after, 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(m.dir, name+".json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	return m.build(ctx, name, file)
}

// withOptions adds arguments to the call of grpc.NewServer. grpc-go takes the
// last of two options that are the same.
func withOptions(source []byte, options string) ([]byte, error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "", source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var call *ast.CallExpr
	ast.Inspect(parsed, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if f, ok := c.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "NewServer" {
			if p, ok := f.X.(*ast.Ident); ok && p.Name == "grpc" {
				call = c
			}
		}
		return true
	})
	if call == nil || len(call.Args) == 0 {
		return nil, errors.New("there is no call of grpc.NewServer with options")
	}
	if appended, ok := call.Args[0].(*ast.CallExpr); ok && call.Ellipsis.IsValid() && len(appended.Args) > 1 {
		call = appended
	}
	end := files.Position(call.Args[len(call.Args)-1].End()).Offset
	if call.Ellipsis.IsValid() {
		return nil, errors.New("the options of grpc.NewServer are not written out one by one")
	}
	return []byte(string(source[:end]) + ",\n" + options + string(source[end:])), nil
}
