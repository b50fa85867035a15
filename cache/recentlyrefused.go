package cache

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// refusedSlots is the maximum number of keys, and refusedWays the number of keys with the same
// place (set associativity). Both are powers of two. With one way, two good keys with the same
// place would replace each other during a whole flood.
const (
	refusedSlots = 1 << 16
	refusedWays  = 4
)

// recentlyRefused remembers keys whose load was refused. They get a second chance: a client with
// a good key asks again, and most floods of random keys do not. A key that a load found absent
// gets no second chance while that is remembered.
//
// It stores hashes, and a new key replaces the oldest one of its place, so its size is constant.
// The zero value is empty. It is safe for concurrent use.
type recentlyRefused struct {
	once  sync.Once
	seed  maphash.Seed
	slots []atomic.Uint32
}

// The state of a key, beside its hash. No state is 0.
const (
	wasRefused uint32 = 1
	wasAbsent  uint32 = 2
	kindBits          = wasRefused | wasAbsent
)

// place returns the slots of a key, the newest first, and its mark. The seed is random, so that
// clients cannot choose keys with the same mark.
func (f *recentlyRefused) place(key string) (ways []atomic.Uint32, mark uint32) {
	f.once.Do(func() {
		f.seed = maphash.MakeSeed()
		f.slots = make([]atomic.Uint32, refusedSlots)
	})
	sum := maphash.String(f.seed, key)
	at := sum % (refusedSlots / refusedWays) * refusedWays
	return f.slots[at : at+refusedWays], uint32(sum>>32) &^ kindBits
}

// refused remembers a key, unless it is known already. Two concurrent calls with the same place
// may lose a third key.
func (f *recentlyRefused) refused(key string) {
	ways, mark := f.place(key)
	if find(ways, mark) == nil {
		push(ways, mark|wasRefused)
	}
}

// absent remembers that a key gets no second chance.
func (f *recentlyRefused) absent(key string) {
	ways, mark := f.place(key)
	if way := find(ways, mark); way != nil {
		way.Store(mark | wasAbsent)
		return
	}
	push(ways, mark|wasAbsent)
}

// forget removes a key.
func (f *recentlyRefused) forget(key string) {
	if way := find(f.place(key)); way != nil {
		way.Store(0)
	}
}

// deserves says whether a key gets a second chance.
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
