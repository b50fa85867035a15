package credential

import (
	"maps"
	"strconv"
	"time"

	"github.com/vault-authz/vault-authz/internal/admin/schema"
)

// View returns a credential as answers show it: its known fields without the
// secrets. Unknown fields are left out: they may hold secrets of other programs.
func View(d schema.Document) schema.Document {
	view := schema.Document{"access_token": d.Text("access_token"), "consumer": nil}
	if id := d.Record("consumer").Text("id"); id != "" {
		view["consumer"] = schema.Document{"id": id}
	}
	for _, name := range []string{"created_at", "updated_at", "ttl", "expires_at", "not_before", "previous_expires_at"} {
		view[name] = Seconds(d[name])
	}
	view["disabled"] = d.Yes("disabled") || d.Text("disabled") == "true"
	view["hashed"] = IsHashed(d)
	return view
}

// Seconds reads a number of seconds or a time as people write it, nil if it is
// neither.
func Seconds(v any) any {
	s, isText := v.(string)
	if n, ok := v.(int64); ok {
		return n
	}
	if !isText {
		return nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if d, err := time.ParseDuration(s); err == nil {
		return int64(d / time.Second)
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.Unix()
	}
	return nil
}

// Rotated returns the record with a new secret. The one before keeps its form: of a hash
// nobody can make the secret.
func Rotated(old schema.Document, secret string, grace, now int64) schema.Document {
	d := maps.Clone(old)
	Forget(d, PreviousSecret)
	delete(d, "previous_expires_at")
	if _, known := hashOf(old, CurrentSecret); known && grace > 0 {
		for _, form := range []string{"", hashSuffix} {
			if before := old[CurrentSecret+form]; before != nil {
				d[PreviousSecret+form] = before
			}
		}
		d["previous_expires_at"] = now + grace
	}
	Forget(d, CurrentSecret)
	d[CurrentSecret], d["updated_at"] = secret, now
	return d
}

// PreviousUntil returns when the secret before the last rotation stops working, the zero
// time if there is no such secret.
func PreviousUntil(d schema.Document) time.Time {
	until, known := Seconds(d["previous_expires_at"]).(int64)
	if _, has := hashOf(d, PreviousSecret); !known || !has {
		return time.Time{}
	}
	return time.Unix(until, 0)
}
