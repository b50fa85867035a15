package vaultkv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/authz"
)

const (
	recordsFolder = "records"
	uniqueFolder  = "unique"
)

// maxWrites bounds how often an operation starts again because somebody else
// wrote in between.
const maxWrites = 10

// settleTime bounds what is done for an operation after its own context: to find
// out whether a write happened, and to give claims back.
const settleTime = 2 * time.Second

// A RecordsConfig is how [Records] waits. Start from [DefaultRecordsConfig].
type RecordsConfig struct {
	// Grace is how long a claim without a record stands, before somebody else
	// may take it over. It has to be longer than a write takes. Safety does not
	// depend on it, nor on clocks. Default 10s.
	Grace time.Duration
	// Patience is how long a write waits for the outcome of another one that
	// claims the same key; then it is unavailable. Default 1s.
	Patience time.Duration
	// Readers is how many records List reads at a time. Default 16.
	Readers int
}

// DefaultRecordsConfig returns the defaults.
func DefaultRecordsConfig() RecordsConfig {
	return RecordsConfig{Grace: 10 * time.Second, Patience: time.Second, Readers: 16}
}

// Validate reports every mistake.
func (c *RecordsConfig) Validate() error {
	var errs []error
	if c.Grace <= 0 || c.Grace > time.Minute {
		errs = append(errs, fmt.Errorf("grace: %s is not between 0 and 1m", c.Grace))
	}
	if c.Patience < 0 || c.Patience > c.Grace {
		errs = append(errs, fmt.Errorf("patience: %s is not between 0 and the grace", c.Patience))
	}
	if c.Readers < 1 || c.Readers > 1024 {
		errs = append(errs, fmt.Errorf("readers: %d is not between 1 and 1024", c.Readers))
	}
	return errors.Join(errs...)
}

// Records keeps the records of all kinds in a [Versioned]. It is safe for
// concurrent use, also of other processes on the same mount, and keeps nothing
// itself.
//
// Every error wraps one of [authz.ErrNotFound], [authz.ErrConflict],
// [authz.ErrUnavailable], [authz.ErrMalformed] (an entry that somebody made by
// hand), is an [authz.TakenError], or is about a record that no store would
// take. After ErrUnavailable a write may have happened; doing it again ends in
// the right state.
//
// # What is kept
//
//	records/<kind>/<id>           a record, or a tombstone where it was deleted
//	unique/<kind>/<SHA-256 of k>  the claim of the unique key k: which record has it
//
// KV v2 keeps old versions, and what is deleted here may hold secrets. So the
// mount ought to keep one version only (max_versions=1).
//
// # Why two records never have the same key
//
// Every write names the version that it replaces, and no version ever comes
// back, because nothing is purged. A write W of record r, last seen at version
// base (0: never there),
//
//  1. claims each key that r does not have yet, in sorted order: the claim holds
//     r and base;
//  2. writes r with all its keys over version base: the commit;
//  3. gives the claims of keys that r had before back.
//
// The claim of k that names r, made at base b, may be changed in these cases only:
//
//   - (a) by W, after its commit has failed for certain;
//   - (b) by somebody who saw r at a version beyond b, without k;
//   - (c) by somebody who saw r at version b, without k, and then wrote the same
//     r again over b (a fence; a tombstone where there is none);
//   - (d) by who has just taken k off r by a commit, if the claim is still the
//     one that was there before that commit.
//
// Hence: while r has k, the claim of k names r. For suppose that W commits, at
// b+1. Then (a) is out, and so is (c): either the fence or the commit finds b
// gone. Under (b) and (d) k has been taken off r, at some version x > b. And r
// gets k again only by a write that has seen x or later, and claims k after
// that, which makes a new version of the claim, over which a change that was
// decided on before fails. W itself claims over an older claim of r by the same
// rules, and starts over after its own fence, since all its claims must hold
// the base that it commits over.
//
// A claim names one record, so no two have the key. A slow writer whose claim
// was taken over finds its base gone, and loses.
//
// # Why no crash blocks a key
//
// Before the commit there are claims of keys that r does not have. If anything
// writes r they are out of date at once, by (b); else after the grace, by (c).
// Up to then another writer cannot know that the first one is gone, and waits
// for it, though not for long. From the commit on, r has what its claims say,
// and the claims not yet given back are out of date by (b). Giving back is
// politeness: it saves others a read, and keeps names of deleted records out of
// the store. Clocks only decide about the grace: one that is wrong by more than
// it makes takers less patient, never wrong.
//
// Sorted order keeps two writers from waiting for one another.
type Records struct {
	kv  Versioned
	cfg RecordsConfig
}

// NewRecords returns the records in kv.
func NewRecords(kv Versioned, c RecordsConfig) (*Records, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("state store: %w", err)
	}
	return &Records{kv: kv, cfg: c}, nil
}

// Create adds a record of version 0 and returns its version. If there is one of
// that id already, the error is [authz.ErrConflict]; if another one has one of
// its keys, it is an [authz.TakenError]. Where that cannot be told yet, because
// another write is in the middle of it or was cut off there, it is
// [authz.ErrUnavailable], until the grace is over.
func (s *Records) Create(ctx context.Context, rec authz.Record) (version int, err error) {
	if rec.Version != 0 {
		return 0, fmt.Errorf("creating a record of version %d: %w", rec.Version, authz.ErrConflict)
	}
	return s.write(ctx, rec)
}

// Replace puts rec in the place of the record that was read as rec.Version, and
// returns the new version.
func (s *Records) Replace(ctx context.Context, rec authz.Record) (version int, err error) {
	if rec.Version < 1 {
		return 0, fmt.Errorf("replacing a record of version %d: %w", rec.Version, authz.ErrConflict)
	}
	return s.write(ctx, rec)
}

// write tries again when it lost its base, since that may have been a fence: then
// the record is still the one that the caller saw.
func (s *Records) write(ctx context.Context, rec authz.Record) (int, error) {
	if err := checkRecord(rec); err != nil {
		return 0, err
	}
	for range maxWrites {
		version, err := s.tryWrite(ctx, rec)
		if !errors.Is(err, errFenced) {
			return version, err
		}
	}
	return 0, authz.ErrConflict
}

// errFenced: somebody wrote the record in between, and the write did not happen.
var errFenced = errors.New("the record was written in between")

func (s *Records) tryWrite(ctx context.Context, rec authz.Record) (int, error) {
	old, err := s.load(ctx, rec.Kind, rec.ID)
	if err != nil {
		return 0, err
	}
	switch {
	case rec.Version == 0 && old.live():
		return 0, authz.ErrConflict
	case rec.Version > 0 && !old.live():
		return 0, authz.ErrNotFound
	case rec.Version > 0 && !old.seenAt(rec.Version):
		return 0, authz.ErrConflict
	}
	unique := slices.Compact(slices.Sorted(slices.Values(rec.Unique)))
	w := &recordWrite{Records: s, kind: rec.Kind, id: rec.ID, base: old.version}
	dropped := s.holdings(ctx, rec.Kind, rec.ID, without(old.Unique, unique))
	for _, key := range without(unique, old.Unique) {
		if err := w.claim(ctx, key); err != nil {
			w.giveBack(ctx)
			return 0, err
		}
	}
	version, err := w.commit(ctx, newEntry(rec.Document, unique))
	if err != nil {
		return 0, err
	}
	s.release(ctx, dropped)
	return version, nil
}

// Delete removes a record, whatever its version. Where there is none, the error
// is [authz.ErrNotFound].
func (s *Records) Delete(ctx context.Context, kind, id string) error {
	if err := checkID(kind, id); err != nil {
		return err
	}
	for range maxWrites {
		old, err := s.load(ctx, kind, id)
		if err != nil && !errors.Is(err, authz.ErrMalformed) {
			return err
		}
		if err == nil && !old.live() {
			return authz.ErrNotFound
		}
		w := &recordWrite{Records: s, kind: kind, id: id, base: old.version}
		dropped := s.holdings(ctx, kind, id, old.Unique)
		_, err = w.commit(ctx, newTombstone())
		switch {
		case err == nil:
			s.release(ctx, dropped)
			return nil
		case !errors.Is(err, errFenced):
			return err
		}
	}
	return authz.ErrConflict
}

// Get returns a record.
func (s *Records) Get(ctx context.Context, kind, id string) (authz.Record, error) {
	if err := checkID(kind, id); err != nil {
		return authz.Record{}, err
	}
	e, err := s.load(ctx, kind, id)
	switch {
	case err != nil:
		return authz.Record{}, err
	case !e.live():
		return authz.Record{}, authz.ErrNotFound
	}
	return e.record(kind, id), nil
}

// ByUnique returns the record that has a unique key.
func (s *Records) ByUnique(ctx context.Context, kind, key string) (authz.Record, error) {
	if !isKey(kind) {
		return authz.Record{}, fmt.Errorf("%q is not a kind of records", kind)
	}
	c, _, err := s.readClaim(ctx, claimPath(kind, key), key)
	if err != nil {
		return authz.Record{}, err
	}
	if c.free() {
		return authz.Record{}, authz.ErrNotFound
	}
	rec, err := s.Get(ctx, kind, c.ID)
	if err == nil && !slices.Contains(rec.Unique, key) {
		return authz.Record{}, authz.ErrNotFound
	}
	return rec, err
}

// List returns the records of a kind, sorted by id. If some cannot be
// understood, the others are returned beside an error that wraps
// [authz.ErrMalformed] and names the ids: it is for the caller to say what a
// missing record may mean.
func (s *Records) List(ctx context.Context, kind string) ([]authz.Record, error) {
	if !isKey(kind) {
		return nil, fmt.Errorf("%q is not a kind of records", kind)
	}
	ids, err := s.kv.ListUnder(ctx, recordsFolder+"/"+kind)
	if err != nil {
		return nil, unavailableState(err)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !authz.IsUUID(id) })
	slices.Sort(ids)
	found := make([]authz.Record, len(ids))
	malformed := make([]error, len(ids))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.cfg.Readers)
	for i, id := range ids {
		g.Go(func() error {
			e, err := s.load(gctx, kind, id)
			switch {
			case errors.Is(err, authz.ErrMalformed):
				malformed[i] = err
			case err != nil:
				return err
			case e.live():
				found[i] = e.record(kind, id)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(r authz.Record) bool { return r.ID == "" })
	return found, errors.Join(malformed...)
}

// load returns what is stored for a record: the record, a tombstone, or nothing.
// Of a malformed entry the version is returned beside the error.
func (s *Records) load(ctx context.Context, kind, id string) (recordEntry, error) {
	raw, version, found, err := s.kv.ReadVersion(ctx, recordPath(kind, id))
	if err != nil {
		return recordEntry{}, unavailableState(err)
	}
	if !found {
		return recordEntry{version: version}, nil
	}
	e, err := decodeEntry(raw)
	if err != nil {
		return recordEntry{version: version}, fmt.Errorf("record %s of the %s: %w: %w; delete it or write it anew", id, kind, authz.ErrMalformed, err)
	}
	e.version = version
	return e, nil
}

func recordPath(kind, id string) string { return recordsFolder + "/" + kind + "/" + id }

func checkID(kind, id string) error {
	if !isKey(kind) {
		return fmt.Errorf("%q is not a kind of records", kind)
	}
	if !authz.IsUUID(id) {
		return fmt.Errorf("%q is not a lower-case UUID: %w", id, authz.ErrNotFound)
	}
	return nil
}

func checkRecord(rec authz.Record) error {
	if !isKey(rec.Kind) {
		return fmt.Errorf("%q is not a kind of records", rec.Kind)
	}
	if !authz.IsUUID(rec.ID) {
		return fmt.Errorf("record id %q is not a lower-case UUID", rec.ID)
	}
	if kind(rec.Document) != kindObject || !json.Valid(rec.Document) {
		return errors.New("the document of the record is not a JSON object")
	}
	if slices.Contains(rec.Unique, "") {
		return errors.New("a unique key of the record is empty")
	}
	return nil
}

// unavailableState wraps every error of a Versioned; see Store.unavailable.
func unavailableState(err error) error {
	if errors.Is(err, authz.ErrNotFound) || errors.Is(err, authz.ErrMalformed) {
		return fmt.Errorf("state store: %w: %s", authz.ErrUnavailable, err.Error())
	}
	return fmt.Errorf("state store: %w: %w", authz.ErrUnavailable, err)
}

// without returns those of keys that are not in others.
func without(keys, others []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return slices.Contains(others, k) })
}
