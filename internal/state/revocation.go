package state

import "time"

// A Watcher has the functions that are called, in order, when the log was read. They must
// be quick, and must not call the Store.
type Watcher struct {
	// Deferred says that decisions are made by a View only some time after Changed has
	// returned, when [Store.Using] is called. Otherwise a View is in use when Changed
	// returns.
	Deferred bool

	// Drop is called when the credential of the access token is about to change or has
	// changed, more than once for a change.
	Drop func(accessToken string)
	// DropAll is called when any credential may have changed. It does not tell of entities: Changed does.
	DropAll func()
	// Changed is called with a new view and the entities in which it differs from the
	// view before it. With nil it may differ in all of them.
	Changed func([]Change, *View)
}

// dropAgainFor is how long after its lease was seen a credential may still be written: the
// time that the write may take, and that of a request in flight.
func (c *Config) dropAgainFor() time.Duration { return c.WriteWithin + 2*time.Second }

// publish shows the view and calls the Watcher. The caller holds mu.
func (s *Store) publish(e effects) {
	if s.bridging.withheld {
		s.view.Store(s.replica.view)
		return // publishWithheld publishes everything
	}
	if e.all || len(e.changes) > 0 {
		s.revision++
		s.gate.published(s.revision)
	}
	if s.replica != nil && s.replica.view != s.shown.Load() {
		s.replica.view.revision = s.revision
		s.view.Store(s.replica.view)
		s.shown.Store(s.replica.view)
	}
	if !s.watch.Deferred {
		defer s.gate.use(s.revision)
	}
	now := time.Now()
	if e.all {
		s.watch.Changed(nil, s.shown.Load())
		s.watch.DropAll()
		s.dropAllAgain = now
		if !e.first {
			s.dropAllAgain = now.Add(s.cfg.dropAgainFor())
		}
	}
	for _, key := range e.leased {
		s.watch.Drop(key)
		s.dropAgain[key] = now.Add(s.cfg.dropAgainFor())
	}
	for _, key := range e.released {
		s.watch.Drop(key)
		// Leases do not bind the earlier version, which may still be about to write.
		if s.replica.view.bridge == nil || s.dropAgain[key].Before(now) {
			s.dropAgain[key] = now
		}
	}
	if len(e.changes) > 0 {
		s.watch.Changed(e.changes, s.shown.Load())
	}
}

// drop drops once more what may have been read too early, after a poll that began at a time.
func (s *Store) drop(began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dropAllAgain.IsZero() && !began.Before(s.dropAllAgain) {
		s.dropAllAgain = time.Time{}
		s.watch.DropAll()
	}
	for key, until := range s.dropAgain {
		s.watch.Drop(key)
		if !began.Before(until) {
			delete(s.dropAgain, key)
		}
	}
}
