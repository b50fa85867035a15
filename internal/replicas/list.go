package replicas

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// An Engine keeps JSON objects that all replicas share. It is a part of that of package state.
type Engine interface {
	// ReadVersion returns the object at path, and the version to write over. The object may
	// be out of date, but not older than the last Sync.
	ReadVersion(ctx context.Context, path string) (document []byte, version int, found bool, err error)
	// WriteVersion writes if the version is still cas. A refusal (ok is false) may also come from a
	// node that is out of date; nothing is written then.
	WriteVersion(ctx context.Context, path string, document []byte, cas int) (version int, ok bool, err error)
	Sync(ctx context.Context) error
}

const (
	// interval is how often a replica writes.
	interval = time.Minute
	// missingAfter is how long a replica may be silent before it is missing: its next write, a
	// slow one, and one that failed.
	missingAfter = 3 * interval
	// keptFor is how long a replica that is missing is kept.
	keptFor = time.Hour
	// firstPause is about how long after the start the first write is.
	firstPause = 2 * time.Second
	// maxPause is the longest time between two writes that fail.
	maxPause = 10 * time.Minute
	// writeTimeout bounds a write.
	writeTimeout = 20 * time.Second
	// attempts is how often a write is tried because another replica has written meanwhile,
	// and contentionPause the longest wait before it is tried again.
	attempts        = 5
	contentionPause = 500 * time.Millisecond
)

// A List is the replicas that share a state, as this one last read them. It is safe for
// concurrent use.
type List struct {
	kv   Engine
	self func() Replica
	id   string
	log  *zap.Logger

	// heard is what each of the others told last, and when that was new. Run uses it.
	heard map[string]hearing

	mu sync.Mutex
	// others are the replicas that were read last, without this one, and readAt is when, in Unix
	// seconds, 0 for never.
	others []Seen
	readAt int64
	// problem is why the last write failed, nil if it did not.
	problem error

	left atomic.Bool
}

// A hearing is the time that a replica told last by its clock, and when it was first read by ours.
type hearing struct {
	told int64
	at   time.Time
}

// NewList returns the List of a replica that tells what self returns, without SeenAt. It starts
// no goroutine.
func NewList(kv Engine, self func() Replica, log *zap.Logger) *List {
	return &List{kv: kv, self: self, id: rand.Text(), log: log}
}

// A Snapshot is the replicas that are known of.
type Snapshot struct {
	// ReadAt is when the others were read, in Unix seconds, 0 before the first time.
	ReadAt int64 `json:"read_at"`
	// Problem is why they were not read since, "" if nothing prevents it.
	Problem string `json:"problem"`
	// Data begins with the replica that tells it. The others follow by name.
	Data []Seen `json:"data"`
}

// A Seen is a replica as it was last read.
type Seen struct {
	Replica

	// Missing says that it had written nothing new for three minutes when the replicas were read,
	// by the clock of the one that read them. It has ended without a stop, or cannot write to the
	// state.
	Missing bool `json:"missing"`
}

// Snapshot returns what is known, without asking anybody. self is this replica, without SeenAt.
func (l *List) Snapshot(self Replica) Snapshot {
	self.SeenAt = time.Now().Unix()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Snapshot{ReadAt: l.readAt, Data: []Seen{{Replica: self}}}
	if l.problem != nil {
		s.Problem = l.problem.Error()
	}
	s.Data = append(s.Data, l.others...)
	return s
}

// Run writes once a minute until ctx ends. After an error it tries again more and more rarely.
func (l *List) Run(ctx context.Context) error {
	pauses := backoff.Exponential{First: interval, Max: maxPause}
	pause, failed, contended := backoff.Jitter(firstPause, firstPause), false, false
	for backoff.Sleep(ctx, pause) == nil {
		err := l.announce(ctx)
		switch {
		case ctx.Err() != nil || l.left.Load():
		case errors.Is(err, errContended) && !contended:
			// Many have started together.
			pause, contended = backoff.Jitter(interval/12, interval/2), true
		case err != nil:
			if pause = pauses.Next(); !failed {
				l.log.Warn("other replicas do not see this one in their overviews; it is tried again", zap.Error(err))
			}
			failed = true
		default:
			pauses.Reset()
			pause = backoff.Jitter(interval*9/10, interval/5) // replicas that start together do not write together
			if failed {
				l.log.Info("other replicas see this one in their overviews again")
			}
			failed, contended = false, false
		}
	}
	return nil
}

// announce writes what this replica is, and takes over what the others wrote.
func (l *List) announce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	var written *stored
	var silent map[string]time.Duration
	var at int64
	err := l.update(ctx, func(s *stored) error {
		if l.left.Load() {
			return errLeft
		}
		self := l.self()
		self.SeenAt = time.Now().Unix()
		written, silent, at = s, l.listen(s), self.SeenAt
		return s.put(l.id, self, silent)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problem = err; err != nil {
		return err
	}
	all := written.all()
	delete(all, l.id)
	l.readAt, l.others = at, nil
	for id, o := range all {
		l.others = append(l.others, Seen{Replica: o, Missing: silent[id] > missingAfter})
	}
	slices.SortFunc(l.others, func(a, b Seen) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.StartedAt, b.StartedAt))
	})
	return nil
}

// listen returns for how long each of the others has told nothing new. Clocks differ, so it does
// not go by the times that they tell.
func (l *List) listen(s *stored) map[string]time.Duration {
	now, heard, silent := time.Now(), map[string]hearing{}, map[string]time.Duration{}
	for id, o := range s.all() {
		h, known := l.heard[id]
		if !known || h.told != o.SeenAt {
			h = hearing{o.SeenAt, now}
		}
		heard[id], silent[id] = h, now.Sub(h.at)
	}
	l.heard = heard
	return silent
}

// Leave takes this replica out. It is for a stop: Run writes no more.
func (l *List) Leave(ctx context.Context) error {
	l.left.Store(true)
	return l.update(ctx, func(s *stored) error {
		delete(s.Replicas, l.id)
		return nil
	})
}

var (
	errContended = errors.New("other replicas write the list of replicas at the same time")
	errLeft      = errors.New("this replica is stopping")
)

// update changes the entry.
func (l *List) update(ctx context.Context, change func(*stored) error) error {
	for range attempts {
		raw, version, found, err := l.kv.ReadVersion(ctx, path)
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		s, err := decode(raw, found)
		if err != nil {
			return err
		}
		if err := change(s); err != nil {
			return err
		}
		if raw, err = json.Marshal(s); err != nil {
			return err
		}
		_, ok, err := l.kv.WriteVersion(ctx, path, raw, version)
		switch {
		case err != nil:
			return fmt.Errorf("writing %s: %w", path, err)
		case ok:
			return nil
		}
		// Another replica was first, or the node is out of date.
		if err := backoff.Sleep(ctx, backoff.Jitter(0, contentionPause)); err != nil {
			return err
		}
		if err := l.kv.Sync(ctx); err != nil {
			return err
		}
	}
	return errContended
}
