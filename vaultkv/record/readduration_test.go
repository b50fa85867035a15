package record

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/vault-authz/vault-authz/authz"
)

// slow is a source that takes a while to answer with an error, nil for none.
type slow struct{ err error }

func (s slow) Lookup(context.Context, string) (authz.Credential, error) {
	time.Sleep(30 * time.Millisecond)
	return authz.Credential{ConsumerID: "c"}, s.err
}

func TestReadsAreTimedByOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			err  error
			want string
		}{
			{nil, "found"},
			{fmt.Errorf("vault object: %w", authz.ErrNotFound), "not_found"},
			{fmt.Errorf("vault object: %w", authz.ErrMalformed), "malformed"},
			{fmt.Errorf("vault object: %w", authz.ErrUnavailable), "unavailable"},
			{errors.New("of another kind"), "unavailable"},
		} {
			timed := NewTimed("main", slow{test.err})
			if got, err := timed.Lookup(t.Context(), "foo"); got.ConsumerID != "c" || !errors.Is(err, test.err) {
				t.Errorf("%v: got %+v, %v, want what the source says", test.err, got, err)
			}
			reg := prometheus.NewRegistry()
			reg.MustRegister(timed)
			families, err := reg.Gather()
			if err != nil || len(families[0].GetMetric()) != 4 {
				t.Fatalf("got %v, %v, want a series of each outcome", families, err)
			}
			for _, m := range families[0].GetMetric() {
				h, is := m.GetHistogram(), m.GetLabel()[0].GetValue() == test.want
				if is != (h.GetSampleCount() == 1) || is && h.GetSampleSum() != .03 {
					t.Errorf("%v: got %v", test.err, m)
				}
			}
			if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
				t.Errorf("got %v, %v", problems, err)
			}
		}
	})
}
