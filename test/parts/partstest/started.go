package partstest

import (
	"context"
	"testing"
)

// Started runs a service until the test ends, and returns what it calls started with. The test
// fails if run returns an error.
func Started[T any](t *testing.T, run func(ctx context.Context, started func(T)) error) T {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	started, ended := make(chan T, 1), make(chan error, 1)
	go func() { ended <- run(ctx, func(at T) { started <- at }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case at := <-started:
		return at
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
		panic("unreachable")
	}
}
