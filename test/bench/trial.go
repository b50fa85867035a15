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
	"strings"
)

// trial compares the product with settings added: options of grpc.NewServer,
// each in a binary of its own, or variables of the environment; and with other
// binaries, such as one of before a change.
func trial(ctx context.Context, b *bench, settings []string) ([]row, error) {
	// Twice the same, so that the difference that is none shows too.
	names := append([]string{"as shipped", "as shipped, again"}, settings...)
	var contenders []contender
	for i, name := range names {
		var p product
		switch {
		case i < 2:
		case isVariable(name):
			p.env = []string{name}
		case isProgram(name):
			p.binary = name
		default:
			var err error
			if p.binary, err = b.buildWith(ctx, fmt.Sprintf("trial-%d", i), name); err != nil {
				return nil, err
			}
		}
		s, err := b.startProduct(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		defer b.stop(s)
		contenders = append(contenders, contender{name, s, hit})
	}
	var rows []row
	for _, l := range levels() {
		costs, err := alternate(ctx, contenders, l, b.rounds, b.calls)
		if err != nil {
			return nil, err
		}
		for i, c := range contenders {
			rows = append(rows, compared(fmt.Sprintf("server CPU per hit, %s in flight; ratio to as shipped", l), c.name, costs[i], costs[0]))
		}
	}
	return rows, nil
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
