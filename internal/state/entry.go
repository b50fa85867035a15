package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/authz"
)

// format is that of everything in the store. Format 1 had an entry for each record and for
// each reservation of a name, and did not have this number.
const format = 2

// decode reads an entry of the store. It looks at the format first.
func decode(raw []byte, into any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return fmt.Errorf("%w: an entry of the state store is not JSON", authz.ErrMalformed)
	}
	if head.Format > format {
		return fmt.Errorf("%w: an entry has format %d, and this version understands %d; run the version that wrote it, or a later one", errNewer, head.Format, format)
	}
	if err := json.Unmarshal(raw, into); err != nil || head.Format != format {
		return fmt.Errorf("%w: an entry of the state store has another form than its format says", authz.ErrMalformed)
	}
	return nil
}

// errNewer means that a later version of this program has written to the store.
var errNewer = errors.New("the state store was written by a newer version")

func encode(entry any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(entry); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func writeEntry(ctx context.Context, kv Engine, path string, entry any, cas int) (version int, ok bool, err error) {
	raw, err := encode(entry)
	if err != nil {
		return 0, false, err
	}
	return kv.WriteVersion(ctx, path, raw, cas)
}

// entryRequests is how many entries are read or written at a time.
const entryRequests = 4

// each calls do for 0 to n-1, a few at a time, until one of them fails.
func each(ctx context.Context, n int, do func(context.Context, int) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(entryRequests)
	for i := range n {
		g.Go(func() error { return do(gctx, i) })
	}
	return g.Wait()
}

// eachOf calls do for 0 to n-1, a few at a time, and returns the errors of all joined.
func eachOf(ctx context.Context, n int, do func(context.Context, int) error) error {
	errs := make([]error, n)
	_ = each(ctx, n, func(ctx context.Context, i int) error {
		errs[i] = do(ctx, i)
		return nil
	})
	return errors.Join(errs...)
}
