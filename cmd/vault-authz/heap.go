package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/internal/heap"
)

// tendHeap sees to the heap of the process until ctx ends, as far as the operator
// has not: GOMEMLIMIT and GOGC stand where they are set.
func tendHeap(ctx context.Context, p process) {
	if err := heap.Limit(); err != nil {
		fmt.Fprintln(p.stderr, "vault-authz:", err)
	}
	if !slices.ContainsFunc(p.environ, func(v string) bool { return strings.HasPrefix(v, "GOGC=") }) {
		go heap.Tend(ctx)
	}
}
