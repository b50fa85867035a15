package vaultkv

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"
)

// OldVersions returns the versions of the object under key that are older than before and
// have not been destroyed, in their order. Those that were deleted are among them: they can
// be brought back. The current version is among them only if it was deleted: after a
// permanent deletion the numbers begin again, so that before may be of an earlier object.
// On KV v1 there are none.
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
			Current  int `json:"current_version"`
			Versions map[string]struct {
				Destroyed bool
				Deleted   string `json:"deletion_time"`
			}
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
			// The time is in the future if the mount deletes versions by their age.
			deleted, err := time.Parse(time.RFC3339Nano, version.Deleted)
			if err != nil && version.Deleted != "" {
				return v.notVault(a)
			}
			isOld := n < data.Current || version.Deleted != "" && deleted.Before(time.Now())
			if n < before && isOld && !version.Destroyed {
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

// DestroyVersions removes what versions of the object under key contain, the current one too
// if it is among them. They cannot be brought back. The mount must be KV v2.
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
