package state

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/backoff"
)

// Format 1 had an entry for each record, which became a tombstone when the record was
// deleted; a reservation for each unique key; and one entry with the last changes. Its
// entries name no format.
//
//	records/<kind>/<id>
//	unique/<kind>/<SHA-256 of the key>
//	changes
const changesPath = "changes"

func legacyPath(kind, id string) string { return "records/" + kind + "/" + id }

func reservationPath(kind, key string) string {
	digest := sha256.Sum256([]byte(key))
	return "unique/" + kind + "/" + hex.EncodeToString(digest[:])
}

// entityKinds are the kinds of format 1, in the order in which they refer to one
// another.
func entityKinds() []string { return []string{KindVaults, KindConsumers, KindACLs, KindPolicies} }

// A legacyEntry is the entry of a record. Version 0 means that there never was one.
type legacyEntry struct {
	Document  json.RawMessage `json:"document,omitempty"`
	Unique    []string        `json:"unique,omitempty"`
	Deleted   bool            `json:"deleted,omitempty"`
	WrittenAt time.Time       `json:"written_at"`
	// Attempt is a random name of the write, [mirroredBy] where it was made here.
	Attempt string `json:"attempt"`
	// Fences is how often the entry has been written again without a change.
	Fences int `json:"fences,omitempty"`

	kind, id string
	version  int
	// missing says that there is no entry, or that it was deleted by hand.
	missing bool
}

// written is the version with which the content was written first.
func (e *legacyEntry) written() int { return e.version - e.Fences }

// record returns the record of an entry that is no tombstone. Its version is written.
func (e *legacyEntry) record() (*Record, error) {
	var of struct {
		Tags []string `json:"tags"`
	}
	_ = json.Unmarshal(e.Document, &of) // a record with malformed tags is found without them
	r := &Record{Kind: interned(e.kind), ID: e.id, Version: e.written(), Document: bytes.Clone(e.Document), Unique: e.Unique, Tags: of.Tags}
	return r, checkRecord(r)
}

// meansMoreInLegacy says whether the record would allow more in the earlier version, which
// ignores fields that it does not know: it would use a vault object with a folder for the
// whole mount. Such a record is mirrored as deleted, and its policies are unavailable there.
func meansMoreInLegacy(r *Record) bool {
	var of struct {
		Prefix string `json:"prefix"`
	}
	return r.Kind == KindVaults && (json.Unmarshal(r.Document, &of) != nil || of.Prefix != "")
}

// mirroredBy marks an entry as written from the state at a position.
func mirroredBy(position int) string {
	return fmt.Sprintf("%s %d %s", mirrorMark, position, rand.Text())
}

const mirrorMark = "format-2"

// mirrored is the position of the state that the entry was written from, 0 if a replica of
// the earlier version wrote it.
func (e *legacyEntry) mirrored() int {
	fields := strings.Fields(e.Attempt)
	if len(fields) != 3 || fields[0] != mirrorMark {
		return 0
	}
	position, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return position
}

// decodeLegacy reads an entry of format 1.
func decodeLegacy(raw []byte, into any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(raw, &head); err == nil && head.Format > 1 {
		return fmt.Errorf("%w: an entry of format 1 has format %d by now; run the version that wrote it, or a later one", errNewer, head.Format)
	}
	if err := json.Unmarshal(raw, into); err != nil || len(raw) == 0 || raw[0] != '{' {
		return fmt.Errorf("%w: not an entry of the state store", authz.ErrMalformed)
	}
	return nil
}

// readLegacy returns the entry of a record. With the error of a malformed entry it returns
// the version.
func readLegacy(ctx context.Context, kv Engine, kind, id string) (legacyEntry, error) {
	raw, version, found, err := kv.ReadVersion(ctx, legacyPath(kind, id))
	e := legacyEntry{kind: kind, id: id, version: version}
	if err != nil {
		return e, unavailable(err)
	}
	if !found {
		e.Deleted, e.missing = true, true
		return e, nil
	}
	if err = decodeLegacy(raw, &e); err == nil && !e.Deleted && (len(e.Document) == 0 || e.Document[0] != '{' || e.Fences < 0 || e.Fences >= version) {
		err = fmt.Errorf("%w: not a record", authz.ErrMalformed)
	}
	if err == nil && !e.Deleted {
		_, err = e.record()
	}
	if err != nil {
		return e, fmt.Errorf("%s %s: %w; delete the entry %s, or write it anew", kind, id, err, legacyPath(kind, id))
	}
	return e, nil
}

// legacyTries is how often one entry is requested before the read of all entries fails.
const legacyTries = 5

// eachLegacy reads every entry of format 1 and calls do with each, one at a time, in the
// order of kinds and ids. It skips malformed entries; its error names them.
func eachLegacy(ctx context.Context, kv Engine, do func(*legacyEntry) error) error {
	var problems []error
	for _, kind := range entityKinds() {
		ids, err := kv.ListUnder(ctx, "records/"+kind)
		if err != nil {
			return unavailable(err)
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return !authz.IsUUID(id) })
		slices.Sort(ids)
		entries, errs := make([]legacyEntry, len(ids)), make([]error, len(ids))
		if err := each(ctx, len(ids), func(ctx context.Context, i int) error {
			for range legacyTries {
				entries[i], errs[i] = readLegacy(ctx, kv, kind, ids[i])
				if !errors.Is(errs[i], authz.ErrUnavailable) {
					return nil
				}
				if err := backoff.Sleep(ctx, backoff.Jitter(time.Second, time.Second)); err != nil {
					return unavailable(err)
				}
			}
			return errs[i]
		}); err != nil {
			return err
		}
		for i := range entries {
			if errs[i] == nil {
				errs[i] = do(&entries[i])
			}
			problems = append(problems, errs[i])
		}
	}
	return errors.Join(problems...)
}

// A legacyLog is the entry with the last changes. The zero log stands for a missing entry.
type legacyLog struct {
	// Epoch is a random name of the log.
	Epoch string `json:"epoch"`
	// Last is the number of the newest change. The others have the numbers before it.
	Last    int            `json:"last"`
	Changes []legacyChange `json:"changes"`
}

type legacyChange struct {
	// At is when it was logged, in Unix seconds.
	At    int64  `json:"at"`
	Kind  string `json:"kind"`
	ID    string `json:"id"`
	Vault string `json:"vault,omitempty"`
}

// ours says whether a replica of this version has logged the change. Replicas of the
// earlier version ignore the field that says so.
func (c *legacyChange) ours() bool { return c.Vault == mirrorMark }

// readLegacyLog returns the log, and the version of its entry for a later write. A
// malformed log is an error with the zero log.
func readLegacyLog(ctx context.Context, kv Engine) (l legacyLog, version int, err error) {
	raw, version, found, err := kv.ReadVersion(ctx, changesPath)
	if err != nil {
		return legacyLog{}, 0, unavailable(err)
	}
	if !found {
		return legacyLog{}, version, nil
	}
	if err = decodeLegacy(raw, &l); err == nil && (l.Epoch == "" || l.Last < len(l.Changes)) {
		err = fmt.Errorf("%w: not a log of changes", authz.ErrMalformed)
	}
	if err != nil {
		return legacyLog{}, version, fmt.Errorf("%s: %w", changesPath, err)
	}
	return l, version, nil
}

// after returns the changes after one of an epoch. ok is false if the log does not have
// all of them.
func (l *legacyLog) after(epoch string, last int) (fresh []legacyChange, ok bool) {
	first := l.Last - len(l.Changes) + 1
	switch {
	case epoch == "" && first == 1:
		return l.Changes, true // there was no log before, and this one is complete
	case l.Epoch != epoch, l.Last < last, first > last+1:
		return nil, false
	}
	return l.Changes[last+1-first:], true
}

// A reservation names the record of format 1 that has a unique key, or is about to get it.
type reservation struct {
	Key string `json:"key,omitempty"`
	// ID is the record, or empty.
	ID string `json:"id,omitempty"`
	// Base is the version that the record had before the reservation.
	Base       int       `json:"base,omitempty"`
	ReservedAt time.Time `json:"claimed_at"`
}
