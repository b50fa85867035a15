package state_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

func TestSizeProbe(t *testing.T) {
	if os.Getenv("PROBE") == "" {
		t.Skip()
	}
	kv := memkv.New()
	a := open(t, kv)
	start := time.Now()
	const n = 100000
	for i := 0; i < n; i += 250 {
		var rs []state.Record
		for j := i; j < i+250; j++ {
			c := consumer(j)
			c.Document = fmt.Appendf(nil, `{"created_at":1790000000,"custom_id":null,"id":%q,"tags":null,"updated_at":1790000000,"username":"user-%d"}`, c.ID, j)
			aid := fmt.Sprintf("10000000-0000-4000-8000-%012d", j)
			rs = append(rs, c, state.Record{Kind: state.KindACLs, ID: aid, Unique: []string{"group=" + c.ID + "/gold"},
				Document: fmt.Appendf(nil, `{"consumer":{"id":%q},"created_at":1790000000,"group":"gold","id":%q,"tags":null}`, c.ID, aid)})
		}
		create(t, a, rs...)
	}
	fmt.Println("created", time.Since(start))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start = time.Now()
	b := open(t, kv)
	v := view(t, b)
	fmt.Println("loaded", time.Since(start), v.Len(state.KindACLs))
	runtime.GC()
	runtime.ReadMemStats(&after)
	fmt.Printf("MB live %.1f\n", float64(after.HeapAlloc-before.HeapAlloc)/1e6)
	runtime.KeepAlive(a)
	runtime.KeepAlive(b)
	pieces := 0
	for _, k := range []string{"a", "b"} {
		names, _ := kv.ListUnder(t.Context(), "checkpoint-"+k)
		pieces += len(names)
	}
	fmt.Println("pieces", pieces)
}
