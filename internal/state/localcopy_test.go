package state_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// putLine is a line of the log that makes a consumer.
func putLine(i int) string {
	return fmt.Sprintf(`{"by":"writer-%d","at":1,"ops":[{"op":"put","kind":"consumers","id":%q,"unique":["username=user-%d"],"document":{}}]}`+"\n", i, id(i), i)
}

// putSegment writes a segment of log x.
func putSegment(kv *memkv.Engine, entry string, number, first int, sealed bool, lines ...string) {
	kv.Put("log/"+entry, fmt.Appendf(nil, `{"format":2,"log":"x","segment":%d,"first":%d,"sealed":%t,"lines":%q}`, number, first, sealed, strings.Join(lines, "")))
}

// An operator has written an entry that no replica writes, such as one of a backup. A log
// without a beginning is refused.
func TestLogThatDoesNotGoOnFromTheKnownPositionCausesAReload(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(kv *memkv.Engine)
		// anew says that the whole state is read again, and has these consumers.
		anew bool
		want string
	}{
		{"it goes on", func(kv *memkv.Engine) { putSegment(kv, "00", 0, 1, false, putLine(0), putLine(1), putLine(2)) }, false, "0 1 2"},
		{"it goes on in the next segment", func(kv *memkv.Engine) {
			putSegment(kv, "00", 0, 1, true, putLine(0), putLine(1))
			putSegment(kv, "01", 1, 3, false, putLine(2))
		}, false, "0 1 2"},
		{"a line is missing", func(kv *memkv.Engine) { putSegment(kv, "00", 0, 1, false, putLine(0)) }, true, "0"},
		{"a line is another", func(kv *memkv.Engine) { putSegment(kv, "00", 0, 1, false, putLine(0), putLine(7), putLine(8)) }, true, "0 7 8"},
		{"the segment is not there any more", func(kv *memkv.Engine) { _ = kv.Delete(context.Background(), "log/00") }, true, ""},
		{"it goes on, and was put back", func(kv *memkv.Engine) {
			_ = kv.Delete(context.Background(), "log/00")
			putSegment(kv, "00", 0, 1, false, putLine(0), putLine(1), putLine(2))
		}, true, "0 1 2"},
		{"it begins later", func(kv *memkv.Engine) { putSegment(kv, "00", 0, 2, false, putLine(1), putLine(2)) }, true, "refused"},
		{"it begins later in the next segment", func(kv *memkv.Engine) {
			putSegment(kv, "00", 0, 1, true, putLine(0), putLine(1))
			putSegment(kv, "01", 1, 4, false, putLine(3))
		}, true, "refused"},
		{"it begins earlier in the next segment", func(kv *memkv.Engine) {
			putSegment(kv, "00", 0, 1, true, putLine(0), putLine(1))
			putSegment(kv, "01", 1, 1, false, putLine(5))
		}, true, "refused"},
		{"it has gone round", func(kv *memkv.Engine) {
			kv.Put("checkpoint", []byte(`{"format":2,"log":"x","position":70,"segment":64,"set":"a","pieces":0}`))
			putSegment(kv, "00", 64, 71, false, putLine(3))
		}, true, "3"},
		{"it is another log", func(kv *memkv.Engine) {
			kv.Put("checkpoint", []byte(`{"format":2,"log":"y","position":0,"segment":0,"set":"a","pieces":0}`))
			kv.Put("log/00", fmt.Appendf(nil, `{"format":2,"log":"y","segment":0,"first":1,"lines":%q}`, putLine(0)+putLine(1)+putLine(4)))
		}, true, "0 1 4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			kv := memkv.New()
			kv.Put("checkpoint", []byte(`{"format":2,"log":"x","position":0,"segment":0,"set":"a","pieces":0}`))
			putSegment(kv, "00", 0, 1, false, putLine(0))
			putSegment(kv, "00", 0, 1, false, putLine(0), putLine(1))
			n := open(t, kv)
			wantConsumers(t, view(t, n), 2)
			before := n.dropsOfAll()
			test.change(kv)
			err := n.Refresh(t.Context())
			if (err != nil) != (test.want == "refused") || err != nil && !errors.Is(err, authz.ErrUnavailable) {
				t.Fatalf("Refresh = %v", err)
			}
			if anew := n.dropsOfAll() > before; anew != test.anew {
				t.Errorf("everything is dropped: %t, want %t", anew, test.anew)
			}
			if err != nil {
				return
			}
			v, err := n.View()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range 10 {
				if v.Has(state.KindConsumers, id(i)) {
					got = append(got, fmt.Sprint(i))
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("consumers %s, want %s", got, test.want)
			}
		})
	}
}

// This replica has made a change meanwhile.
func TestReadThatIsOutOfDateWhenItEndsIsIgnored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := &lateRead{Engine: memkv.New()}
		n := open(t, kv)
		create(t, n, consumer(0))
		view(t, n)
		before := n.dropsOfAll()
		kv.after = aWhile
		refreshed := make(chan error, 1)
		go func() { refreshed <- n.Refresh(t.Context()) }()
		synctest.Wait()
		kv.after = 0
		create(t, n, consumer(1))
		if err := <-refreshed; err != nil {
			t.Errorf("Refresh = %v", err)
		}
		if n.dropsOfAll() != before {
			t.Error("the whole state was read again, want no read")
		}
		wantConsumers(t, view(t, n), 2)
	})
}
