package cache

// A ring holds entries up to a capacity. To make room it goes round and drops
// the first entry that was not used since it last came by (the CLOCK algorithm,
// a second chance for what is used). That comes close to dropping the least
// recently used one, and a hit changes nothing but a mark in the entry itself,
// where a list would have it touch its neighbors: with a million entries memory
// is what a hit waits for.
//
// The lock of the table guards it.
type ring[V any] struct {
	capacity int
	byKey    map[string]*entry[V]
	// slots are the ring, nil where an entry was removed; free are those.
	slots []*entry[V]
	free  []int
	hand  int
}

func newRing[V any](capacity int) *ring[V] {
	return &ring[V]{capacity: capacity, byKey: map[string]*entry[V]{}}
}

// get returns the entry of a key and marks it as used.
func (r *ring[V]) get(key string) (*entry[V], bool) {
	e, held := r.byKey[key]
	if held && !e.used {
		e.used = true
	}
	return e, held
}

// peek is get without a mark.
func (r *ring[V]) peek(key string) (*entry[V], bool) {
	e, held := r.byKey[key]
	return e, held
}

// add holds an entry, in place of that of the same key if there is one. It returns
// the entry that another key lost for it, nil for none.
func (r *ring[V]) add(e *entry[V]) (evicted *entry[V]) {
	if old, held := r.byKey[e.key]; held {
		e.slot, e.used = old.slot, old.used
	} else {
		var taken bool
		if e.slot, taken = r.room(); taken {
			evicted = r.slots[e.slot]
			delete(r.byKey, evicted.key)
		}
	}
	r.slots[e.slot] = e
	r.byKey[e.key] = e
	return evicted
}

// room returns a slot for one more entry, which has one in it that must go if
// taken says so.
func (r *ring[V]) room() (slot int, taken bool) {
	if n := len(r.free); n > 0 {
		slot = r.free[n-1]
		r.free = r.free[:n-1]
		return slot, false
	}
	if len(r.slots) < r.capacity {
		r.slots = append(r.slots, nil)
		return len(r.slots) - 1, false
	}
	for chances := 0; r.slots[r.hand].used && chances < maxChances; chances++ {
		r.slots[r.hand].used = false
		r.advance()
	}
	slot = r.hand
	r.advance()
	return slot, true
}

// maxChances bounds how many entries are spared for one that must go: lookups
// wait meanwhile. Where so many in a row are used the cache is too small for any
// choice to be good.
const maxChances = 128

func (r *ring[V]) advance() {
	if r.hand++; r.hand == len(r.slots) {
		r.hand = 0
	}
}

func (r *ring[V]) remove(key string) {
	e, held := r.byKey[key]
	if !held {
		return
	}
	delete(r.byKey, key)
	r.slots[e.slot] = nil
	r.free = append(r.free, e.slot)
}

func (r *ring[V]) len() int { return len(r.byKey) }

func (r *ring[V]) keys() []string {
	keys := make([]string, 0, len(r.byKey))
	for _, e := range r.slots {
		if e != nil {
			keys = append(keys, e.key)
		}
	}
	return keys
}
