package vaultkv

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/hashicorp/vault/api"
)

// OldVersions returns the versions of the object under key that are older than before and
// have not been destroyed, in their order. Those that were deleted are among them: they can
// be brought back. On KV v1 there are none.
func (v *Vault) OldVersions(ctx context.Context, key string, before int) ([]int, error) {
	if !v.layout.v2 {
		return nil, nil
	}
	p, ok := v.layout.whole(key)
	if !ok {
		return nil, errKey()
	}
	var old []int
	err := v.do(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.client.Logical().ReadRawWithContext(ctx, p)
	}, func(a *answer) *Error {
		var data struct {
			Versions map[string]struct{ Destroyed bool }
		}
		switch {
		case a.Status == 404:
			return v.absent(a)
		case json.Unmarshal(a.Data, &data) != nil:
			return v.notVault(a)
		}
		for name, version := range data.Versions {
			n, err := strconv.Atoi(name)
			if err != nil {
				return v.notVault(a)
			}
			if n < before && !version.Destroyed {
				old = append(old, n)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(old)
	return old, nil
}

// DestroyVersions removes what versions of the object under key contain. They cannot be
// brought back. The mount must be KV v2.
func (v *Vault) DestroyVersions(ctx context.Context, key string, versions []int) error {
	p, ok := join(v.layout.destroy, key)
	if !ok || !v.layout.v2 {
		return errKey()
	}
	body, err := json.Marshal(map[string][]int{"versions": versions})
	if err != nil {
		return err
	}
	return v.do(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.client.Logical().WriteRawWithContext(ctx, p, body)
	}, v.written)
}
