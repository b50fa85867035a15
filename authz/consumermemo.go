package authz

import (
	"maps"
	"sync"
	"sync/atomic"
)

// A consumerMemo keeps prepared consumers by id. After a consumer has been looked up a few
// times, its look-ups take no lock and allocate nothing. The zero consumerMemo is empty. It
// is safe for concurrent use.
type consumerMemo struct {
	// settled is never changed, only replaced.
	settled atomic.Pointer[map[string]*consumer]

	mu sync.Mutex
	// fresh has the consumers that are not in settled yet. misses counts the look-ups
	// that settled could not answer since it was made.
	fresh  map[string]*consumer
	misses int
}

func (m *consumerMemo) get(id string) *consumer {
	if settled := m.settled.Load(); settled != nil {
		if c := (*settled)[id]; c != nil {
			return c
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.fresh[id]
	if c != nil {
		m.settle()
	}
	return c
}

// add keeps c, or returns the consumer that it has under c's id.
func (m *consumerMemo) add(c *consumer) *consumer {
	if known := m.get(c.ID); known != nil {
		return known
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.fresh[c.ID]; known != nil {
		return known
	}
	if m.fresh == nil {
		m.fresh = map[string]*consumer{}
	}
	m.fresh[c.ID] = c
	m.settle()
	return c
}

// settle replaces settled after misses for half of its length, so that copying costs little
// for each consumer. The caller holds mu.
func (m *consumerMemo) settle() {
	var settled map[string]*consumer
	if now := m.settled.Load(); now != nil {
		settled = *now
	}
	if m.misses++; m.misses < len(settled)/2 {
		return
	}
	next := make(map[string]*consumer, len(settled)+len(m.fresh))
	maps.Copy(next, settled)
	maps.Copy(next, m.fresh)
	m.settled.Store(&next)
	m.fresh, m.misses = nil, 0
}

// without returns a memo without the consumers that have the ids.
func (m *consumerMemo) without(ids []string) *consumerMemo {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := map[string]*consumer{}
	if settled := m.settled.Load(); settled != nil {
		maps.Copy(next, *settled)
	}
	maps.Copy(next, m.fresh)
	for _, id := range ids {
		delete(next, id)
	}
	kept := &consumerMemo{}
	kept.settled.Store(&next)
	return kept
}
