package cache

import (
	"strconv"
	"testing"
)

// TestKeysThatShareAPlaceAreAllRemembered: as many as there are ways; of more, the
// oldest is forgotten.
func TestKeysThatShareAPlaceAreAllRemembered(t *testing.T) {
	t.Parallel()
	var f familiar
	first, _ := f.place("good 0")
	together := []string{"good 0"}
	for i := 1; len(together) <= familiarWays; i++ {
		key := "good " + strconv.Itoa(i)
		if ways, _ := f.place(key); &ways[0] == &first[0] {
			together = append(together, key)
		}
	}
	remembered := func() (n int) {
		for _, key := range together {
			if f.knows(key) {
				n++
			}
		}
		return n
	}
	for range 3 {
		for _, key := range together[:familiarWays] {
			f.remember(key)
		}
		if got := remembered(); got != familiarWays {
			t.Fatalf("%d of %d keys of one place are known", got, familiarWays)
		}
	}
	f.remember(together[familiarWays])
	if !f.knows(together[familiarWays]) || f.knows(together[0]) || remembered() != familiarWays {
		t.Errorf("with one more, %d are known, the oldest %t", remembered(), f.knows(together[0]))
	}
}
