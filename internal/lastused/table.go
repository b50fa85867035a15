package lastused

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
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
	mu    sync.Mutex
	last  *Table
	until time.Time
}

// A Table tells of every credential when it was last used. It is immutable.
type Table struct {
	since minute
	keys  []key
	last  []minute
}

// Last returns the minute in which a credential was last used, the zero time if it was not used
// since. Before since, uses were not recorded, or are forgotten.
func (t *Table) Last(accessToken string) (at, since time.Time) {
	if i, found := slices.BinarySearch(t.keys, keyOf(accessToken)); found {
		at = t.last[i].time()
	}
	return at, t.since.time()
}

// All returns a Table that is at most half a minute old. It reads all documents.
func (t *Tracker) All(ctx context.Context) (*Table, error) {
	t.tables.mu.Lock()
	defer t.tables.mu.Unlock()
	if now := time.Now(); t.tables.last == nil || now.After(t.tables.until) {
		table, err := t.table(ctx, func(part) bool { return true })
		if err != nil {
			return nil, err
		}
		t.tables.last, t.tables.until = table, now.Add(tableLife)
		// A large one is not kept for ever.
		time.AfterFunc(tableLife, t.tables.drop)
	}
	return t.tables.last, nil
}

func (t *tables) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !time.Now().Before(t.until) {
		t.last = nil
	}
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
	parts, err := t.parts(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	all := document{last: map[key]minute{}}
	began, level := t.began, maxLevel+1
	var g errgroup.Group
	g.SetLimit(readers)
	for _, p := range parts {
		if !wanted(p) {
			continue
		}
		g.Go(func() error {
			d, _, err := t.read(ctx, p)
			if err != nil || d == nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for k, at := range d.last {
				all.add(k, at)
			}
			all.forgotten = max(all.forgotten, d.forgotten)
			// Later levels began later, with all that was known.
			if p.level < level || p.level == level && d.began < began {
				began, level = d.began, p.level
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	t.gather()
	t.mu.Lock()
	for k, at := range t.pending {
		all.add(k, at)
	}
	t.mu.Unlock()
	table := &Table{since: began}
	if all.forgotten > 0 {
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
