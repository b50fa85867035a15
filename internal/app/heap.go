package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/internal/heap"
)

// TendHeap sets the memory limit of Go to that of the container, and adjusts GOGC until ctx
// ends. GOMEMLIMIT and GOGC in the environment take precedence.
func TendHeap(ctx context.Context, environ []string, stderr io.Writer) {
	if err := heap.Limit(); err != nil {
		fmt.Fprintln(stderr, "vault-authz:", err)
	}
	if !slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "GOGC=") }) {
		go heap.Tend(ctx)
	}
}
