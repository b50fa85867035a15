package cache

import (
	"strconv"
	"testing"
)

// TestKeysThatShareAPlaceAreAllRemembered, up to the number of ways. With one more the oldest
// is forgotten.
func TestKeysThatShareAPlaceAreAllRemembered(t *testing.T) {
	t.Parallel()
	var f recentlyRefused
	first, _ := f.place("good 0")
	together := []string{"good 0"}
	for i := 1; len(together) <= refusedWays; i++ {
		key := "good " + strconv.Itoa(i)
		if ways, _ := f.place(key); &ways[0] == &first[0] {
			together = append(together, key)
		}
	}
	remembered := func() (n int) {
		for _, key := range together {
			if f.deserves(key) {
				n++
			}
		}
		return n
	}
	for range 3 {
		for _, key := range together[:refusedWays] {
			f.refused(key)
		}
		if got := remembered(); got != refusedWays {
			t.Fatalf("%d of %d keys of a place are remembered", got, refusedWays)
		}
	}
	f.refused(together[refusedWays])
	if !f.deserves(together[refusedWays]) || f.deserves(together[0]) || remembered() != refusedWays {
		t.Errorf("with one more, %d are remembered, the oldest %t", remembered(), f.deserves(together[0]))
	}
}

// TestKeyThatWasAbsentDeservesNoSecondChance, until that is forgotten.
func TestKeyThatWasAbsentDeservesNoSecondChance(t *testing.T) {
	t.Parallel()
	var f recentlyRefused
	for _, before := range []func(string){func(string) {}, f.refused, f.absent} {
		before("key")
		f.absent("key")
		f.refused("key")
		if f.deserves("key") {
			t.Error("an absent key that was refused deserves a second chance")
		}
		f.forget("key")
		if f.deserves("key") {
			t.Error("a key that was forgotten deserves a second chance")
		}
		f.refused("key")
		if !f.deserves("key") {
			t.Error("a key that was refused and is not known as absent deserves no second chance")
		}
		f.forget("key")
	}
}
