package memkv_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/vault-authz/vault-authz/internal/memkv"
)

// The conformance suite of vaultkv tests what every engine must do. These tests cover only
// what is specific to this one.

func TestFailMakesEveryOperationFailAndForgetsNothing(t *testing.T) {
	t.Parallel()
	e, ctx, down := memkv.New(), t.Context(), errors.New("down")
	e.Put("foo", []byte(`{"a":1}`))
	e.Fail(down)
	_, _, read := e.Read(ctx, "foo")
	_, _, _, readVersion := e.ReadVersion(ctx, "foo")
	_, _, writeVersion := e.WriteVersion(ctx, "foo", []byte(`{}`), 1)
	_, listUnder := e.ListUnder(ctx, "foo")
	for name, err := range map[string]error{
		"Read": read, "EachKey": e.EachKey(ctx, func(string) {}), "Write": e.Write(ctx, "foo", []byte(`{}`)), "Delete": e.Delete(ctx, "foo"),
		"ReadVersion": readVersion, "WriteVersion": writeVersion, "ListUnder": listUnder,
	} {
		if !errors.Is(err, down) {
			t.Errorf("%s = %v, want %v", name, err, down)
		}
	}
	e.Put("bar", []byte(`{}`))
	e.Fail(nil)
	for key, want := range map[string]string{"foo": `{"a":1}`, "bar": `{}`} {
		got, found, err := e.Read(ctx, key)
		if string(got) != want || !found || err != nil {
			t.Errorf("Read(%q) = %q, %t, %v, want %q", key, got, found, err, want)
		}
	}
}

func TestCancelledContextFails(t *testing.T) {
	t.Parallel()
	e := memkv.New()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, found, err := e.Read(ctx, "foo"); found || !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %t, %v, want %v", found, err, context.Canceled)
	}
}

func TestDocumentsAreCopied(t *testing.T) {
	t.Parallel()
	e, in := memkv.New(), []byte(`{"a":1}`)
	e.Put("foo", in)
	in[0] = 'x'
	out, _, _ := e.Read(t.Context(), "foo")
	out[1] = 'x'
	if got, _, _ := e.Read(t.Context(), "foo"); string(got) != `{"a":1}` {
		t.Errorf("Read = %q after its callers changed their slices, want it as it was put", got)
	}
}

func TestZeroEngineIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	var e memkv.Engine
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			key := fmt.Sprint(i % 4)
			_ = e.Write(t.Context(), key, []byte(`{}`))
			_, _, _ = e.Read(t.Context(), key)
			_ = e.EachKey(t.Context(), func(string) {})
			e.Fail(nil)
			_ = e.Delete(t.Context(), key)
		})
	}
	wg.Wait()
	if err := e.EachKey(t.Context(), func(key string) { t.Errorf("EachKey gives %q, want none", key) }); err != nil {
		t.Errorf("EachKey = %v", err)
	}
}
