package cache

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// familiarSlots is how many keys are remembered at most, and familiarWays how many
// of those that share a place; powers of two. With one way, two good keys that share
// a place would make each other forgotten for as long as a flood lasts.
const (
	familiarSlots = 1 << 16
	familiarWays  = 4
)

// familiar remembers keys that deserve a second chance: those that were refused a
// load before, and those whose value made room for another. A flood of made-up
// keys does not ask for the same one twice, and a client with a good key does. It
// remembers by a hash, and the newest key goes over the oldest of its place, so it is as
// large at the end of a flood as at its beginning. The zero familiar is empty; it
// is safe for concurrent use.
type familiar struct {
	once  sync.Once
	seed  maphash.Seed
	slots []atomic.Uint32
}

// place returns where a key is remembered, the newest first, and as what. The seed
// is random: nobody can choose keys that pass for each other.
func (f *familiar) place(key string) (ways []atomic.Uint32, mark uint32) {
	f.once.Do(func() {
		f.seed = maphash.MakeSeed()
		f.slots = make([]atomic.Uint32, familiarSlots)
	})
	sum := maphash.String(f.seed, key)
	at := sum % (familiarSlots / familiarWays) * familiarWays
	return f.slots[at : at+familiarWays], uint32(sum>>32) | 1
}

// remember may forget another key of the same place where two come at once.
func (f *familiar) remember(key string) {
	ways, mark := f.place(key)
	if known(ways, mark) {
		return
	}
	for i := len(ways) - 1; i > 0; i-- {
		ways[i].Store(ways[i-1].Load())
	}
	ways[0].Store(mark)
}

func (f *familiar) knows(key string) bool { return known(f.place(key)) }

func known(ways []atomic.Uint32, mark uint32) bool {
	for i := range ways {
		if ways[i].Load() == mark {
			return true
		}
	}
	return false
}
