package cache

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// familiarSlots is how many keys are remembered at most; a power of two.
const familiarSlots = 1 << 16

// familiar remembers keys that deserve a second chance: those that were refused a
// load before, and those whose value made room for another. A flood of made-up
// keys does not ask for the same one twice, and a client with a good key does. It
// remembers by a hash, and the newer key goes over the older one, so it is as
// large at the end of a flood as at its beginning. The zero familiar is empty; it
// is safe for concurrent use.
type familiar struct {
	once  sync.Once
	seed  maphash.Seed
	slots []atomic.Uint32
}

// place returns where a key is remembered, and as what. The seed is random: nobody
// can choose keys that pass for each other.
func (f *familiar) place(key string) (*atomic.Uint32, uint32) {
	f.once.Do(func() {
		f.seed = maphash.MakeSeed()
		f.slots = make([]atomic.Uint32, familiarSlots)
	})
	sum := maphash.String(f.seed, key)
	return &f.slots[sum%familiarSlots], uint32(sum>>32) | 1
}

func (f *familiar) remember(key string) {
	slot, mark := f.place(key)
	slot.Store(mark)
}

func (f *familiar) knows(key string) bool {
	slot, mark := f.place(key)
	return slot.Load() == mark
}
