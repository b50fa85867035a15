package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/internal/heap"
)

// TendHeap sees to the heap of the process until ctx ends, as far as the operator
// has not: GOMEMLIMIT and GOGC stand where they are set.
func TendHeap(ctx context.Context, environ []string, stderr io.Writer) {
	if err := heap.Limit(); err != nil {
		fmt.Fprintln(stderr, "vault-authz:", err)
	}
	if !slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "GOGC=") }) {
		go heap.Tend(ctx)
	}
}
