package lastused

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

const (
	// tableLife is how long a Table is used again. The lists of very many credentials are
	// read page by page.
	tableLife = 30 * time.Second
	// readers bounds the reads of one call at a time.
	readers = 8
)

// tables keeps the last Table.
type tables struct {
	// reading is held while the documents are read, and mu for moments.
	reading *semaphore.Weighted
	mu      sync.Mutex
	last    *Table
	until   time.Time
}

// A Table tells of every credential when it was last used. It is immutable.
type Table struct {
	since minute
	keys  []key
	last  []minute
}

// Last returns the minute in which a credential was last used, the zero time if it was not used
// since. Before since, uses were not recorded, or are forgotten. It is the zero time if nothing is
// recorded, so that not to be used means nothing.
func (t *Table) Last(accessToken string) (at, since time.Time) {
	if i, found := slices.BinarySearch(t.keys, keyOf(accessToken)); found {
		at = t.last[i].time()
	}
	return at, t.since.time()
}

// All returns a Table that is at most half a minute old. It reads all documents.
func (t *Tracker) All(ctx context.Context) (*Table, error) {
	if err := t.tables.reading.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer t.tables.reading.Release(1)
	now := time.Now()
	if table := t.tables.current(now); table != nil {
		return table, nil
	}
	table, err := t.table(ctx, func(part) bool { return true })
	if err != nil {
		return nil, err
	}
	t.tables.keep(table, now.Add(tableLife))
	return table, nil
}

// current returns the last Table, nil if it is too old.
func (t *tables) current(now time.Time) *Table {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.After(t.until) {
		return nil
	}
	return t.last
}

// keep keeps a Table until a time: a large one must not stay for ever.
func (t *tables) keep(table *Table, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.until = table, until
	time.AfterFunc(time.Until(until), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.last == table {
			t.last = nil
		}
	})
}

// Last is that of a Table, for one credential. It reads one document of each level.
func (t *Tracker) Last(ctx context.Context, accessToken string) (at, since time.Time, err error) {
	k := keyOf(accessToken)
	table, err := t.table(ctx, func(p part) bool { return partOf(k, p.level) == p })
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	at, since = table.Last(accessToken)
	return at, since, nil
}

// table reads some documents, and adds what is not in them yet.
func (t *Tracker) table(ctx context.Context, wanted func(part) bool) (*Table, error) {
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
	table := &Table{since: began}
	if began > 0 && all.forgotten > 0 {
		table.since = max(began, all.forgotten+1)
	}
	table.keys = make([]key, 0, len(all.last))
	for k := range all.last {
		table.keys = append(table.keys, k)
	}
	slices.Sort(table.keys)
	table.last = make([]minute, len(table.keys))
	for i, k := range table.keys {
		table.last[i] = all.last[k]
	}
	return table, nil
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
