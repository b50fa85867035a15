package cache

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// refusedSlots is how many keys are remembered at most, and refusedWays how many
// of those that share a place; powers of two. With one way, two good keys that share
// a place would make each other forgotten for as long as a flood lasts.
const (
	refusedSlots = 1 << 16
	refusedWays  = 4
)

// recentlyRefused remembers keys that were refused a load, and deserve a second chance: a
// client with a good key asks again, and most floods of made-up keys do not. A key
// that a load found absent does not deserve one, for as long as that is remembered.
//
// It remembers by a hash, and the newest key goes over the oldest of its place, so it
// is as large at the end of a flood as at its beginning. The zero value is empty;
// it is safe for concurrent use.
type recentlyRefused struct {
	once  sync.Once
	seed  maphash.Seed
	slots []atomic.Uint32
}

// What is known of a key, beside its hash. No mark is 0.
const (
	wasRefused uint32 = 1
	wasAbsent  uint32 = 2
	kindBits          = wasRefused | wasAbsent
)

// place returns where a key is remembered, the newest first, and by what. The seed
// is random: nobody can choose keys that pass for each other.
func (f *recentlyRefused) place(key string) (ways []atomic.Uint32, mark uint32) {
	f.once.Do(func() {
		f.seed = maphash.MakeSeed()
		f.slots = make([]atomic.Uint32, refusedSlots)
	})
	sum := maphash.String(f.seed, key)
	at := sum % (refusedSlots / refusedWays) * refusedWays
	return f.slots[at : at+refusedWays], uint32(sum>>32) &^ kindBits
}

// refused remembers a key unless something is known of it. It may forget another key
// of the same place where two come at once.
func (f *recentlyRefused) refused(key string) {
	ways, mark := f.place(key)
	if find(ways, mark) == nil {
		push(ways, mark|wasRefused)
	}
}

// absent remembers that a key has no second chance coming.
func (f *recentlyRefused) absent(key string) {
	ways, mark := f.place(key)
	if way := find(ways, mark); way != nil {
		way.Store(mark | wasAbsent)
		return
	}
	push(ways, mark|wasAbsent)
}

// forget drops what is known of a key.
func (f *recentlyRefused) forget(key string) {
	if way := find(f.place(key)); way != nil {
		way.Store(0)
	}
}

// deserves says whether a key has a second chance coming.
func (f *recentlyRefused) deserves(key string) bool {
	way := find(f.place(key))
	return way != nil && way.Load()&wasRefused != 0
}

func find(ways []atomic.Uint32, mark uint32) *atomic.Uint32 {
	for i := range ways {
		if known := ways[i].Load(); known != 0 && known&^kindBits == mark {
			return &ways[i]
		}
	}
	return nil
}

func push(ways []atomic.Uint32, mark uint32) {
	for i := len(ways) - 1; i > 0; i-- {
		ways[i].Store(ways[i-1].Load())
	}
	ways[0].Store(mark)
}
