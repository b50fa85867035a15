package lastused

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// tableLife is how long a table is used again. The lists of very many credentials are
	// read page by page.
	tableLife = 30 * time.Second
	// readers bounds the reads of one call at a time.
	readers = 8
)

// A table tells of every credential when it was last used. It is immutable.
type table struct {
	since minute
	keys  []key
	last  []minute
}

// of is Last of a Tracker, by a table.
func (t *table) of(accessToken string) (at, since time.Time) {
	if i, found := slices.BinarySearch(t.keys, keyOf(accessToken)); found {
		at = t.last[i].time()
	}
	return at, t.since.time()
}

// All is Last for very many: it reads all documents once. What it returns is at most half a minute
// old.
func (t *Tracker) All(ctx context.Context) (last func(accessToken string) (at, since time.Time), err error) {
	if err := t.reading.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer t.reading.Release(1)
	if kept := t.kept.Load(); kept != nil {
		return kept.of, nil
	}
	until := time.Now().Add(tableLife)
	read, err := t.table(ctx, func(part) bool { return true })
	if err != nil {
		return nil, err
	}
	t.kept.Store(read)
	// A large one must not stay for ever.
	time.AfterFunc(time.Until(until), func() { t.kept.CompareAndSwap(read, nil) })
	return read.of, nil
}

// Last returns the minute in which a credential was last used, the zero time if it was not used
// since. Before since, uses were not recorded, or are forgotten. It is the zero time if nothing is
// recorded, so that not to be used means nothing. Last reads one document of each level.
func (t *Tracker) Last(ctx context.Context, accessToken string) (at, since time.Time, err error) {
	k := keyOf(accessToken)
	read, err := t.table(ctx, func(p part) bool { return partOf(k, p.level) == p })
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	at, since = read.of(accessToken)
	return at, since, nil
}

// table reads some documents, and adds what is not in them yet.
func (t *Tracker) table(ctx context.Context, wanted func(part) bool) (*table, error) {
	// What is saved meanwhile is in a document, or was still pending before.
	all := document{last: t.unsaved()}
	parts, err := t.parts(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	began, level := minute(0), maxLevel+1
	var g errgroup.Group
	g.SetLimit(readers)
	for _, p := range parts {
		if !wanted(p) {
			continue
		}
		g.Go(func() error {
			d, _, err := t.read(ctx, p)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if d == nil { // it was deleted, and what it had is lost
				all.forgotten = minuteOf(time.Now())
				return nil
			}
			for k, at := range d.last {
				all.add(k, at)
			}
			all.forgotten = max(all.forgotten, d.forgotten)
			// Later levels began later, with all that was known.
			if p.level < level || p.level == level && d.began > began {
				began, level = d.began, p.level
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if problem := t.lastProblem(); level > maxLevel && problem != nil {
		return nil, problem // nothing is recorded, and that is why
	}
	read := &table{since: began, keys: slices.Sorted(maps.Keys(all.last))}
	if began > 0 && all.forgotten > 0 {
		read.since = max(began, all.forgotten+1)
	}
	read.last = make([]minute, len(read.keys))
	for i, k := range read.keys {
		read.last[i] = all.last[k]
	}
	return read, nil
}

func (t *Tracker) lastProblem() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.problem
}

// unsaved returns the uses that are in no document yet.
func (t *Tracker) unsaved() map[key]minute {
	t.gather()
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.pending)
}
