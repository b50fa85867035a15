package main

import (
	"context"
	"errors"
	"strings"
)

// clientFaults are things that one client can do to all others.
func clientFaults() []fault {
	long := strings.Repeat("x", 255)
	return []fault{
		// On file storage a key of KV v1 becomes a file name, with a byte in front.
		withUnknownTokens(fault{name: "300 tokens/s that Vault answers with 500", durable: true, harmless: true}, 300, func() string {
			return (token("made-up") + long)[:len(long)]
		}, "", nil),
		withUnknownTokens(fault{name: "1000 made-up tokens/s use up a quota of 200/s"}, 1000, func() string { return token("made-up") },
			"sys/quotas/rate-limit/chaos", map[string]any{"rate": 200, "path": mount}),
	}
}

// withUnknownTokens makes a fault of perSecond requests with unknown access tokens, and of
// a setting in Vault unless that is empty.
func withUnknownTokens(f fault, perSecond float64, access func() string, setting string, to map[string]any) fault {
	stop := func() error { return nil }
	f.breakIt = func(ctx context.Context, bed *testbed) error {
		if setting != "" {
			if err := bed.vault.Do(ctx, "POST", setting, to, nil); err != nil {
				return err
			}
		}
		t, err := newTraffic(ctx, bed)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			t.flow(ctx, unknown, perSecond, func(int) (pair, bool) { return pair{access: access(), secret: token("secret")}, true })
		}()
		stop = func() error {
			cancel()
			<-ended
			for _, s := range t.made() {
				if s.outcome == allowed {
					return errors.Join(errors.New("an unknown access token was allowed"), t.close())
				}
			}
			return t.close()
		}
		return nil
	}
	f.mend = func(ctx context.Context, bed *testbed) error {
		err := stop()
		if setting != "" {
			err = errors.Join(err, bed.vault.Do(ctx, "DELETE", setting, nil, nil))
		}
		return err
	}
	return f
}
