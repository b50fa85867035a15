package cache

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRingHoldsWhatWasAddedUpToItsCapacity(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := newRing[int](rapid.IntRange(1, 6).Draw(t, "capacity"))
		held := map[string]int{}
		for step := range rapid.IntRange(1, 200).Draw(t, "steps") {
			key := strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "key"))
			_, before := held[key]
			switch rapid.SampledFrom([]string{"add", "add", "get", "remove"}).Draw(t, "what") {
			case "add":
				evicted := r.add(&entry[int]{key: key, value: step}) != nil
				held[key] = step
				if evicted != (!before && len(held) > r.capacity) {
					t.Fatalf("added %s to %v: evicted %t", key, held, evicted)
				}
				for other := range held {
					if _, still := r.peek(other); evicted && !still {
						delete(held, other)
					}
				}
			case "get":
				r.get(key)
			case "remove":
				r.remove(key)
				delete(held, key)
			}
			want := []string{}
			for key, value := range held {
				want = append(want, key)
				if e, ok := r.peek(key); !ok || e.value != value || e.key != key {
					t.Fatalf("%s: got %+v, want %d", key, e, value)
				}
			}
			got := r.keys()
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || r.len() != len(want) || len(got) > r.capacity {
				t.Fatalf("holds %q, %d by its own count, want %q of at most %d", got, r.len(), want, r.capacity)
			}
		}
	})
}

func TestRingSparesWhatIsUsed(t *testing.T) {
	t.Parallel()
	const capacity = 100
	r := newRing[int](capacity)
	for i := range capacity {
		r.add(&entry[int]{key: strconv.Itoa(i)})
	}
	for i := range 10 * capacity {
		for used := range capacity / 2 {
			if _, held := r.get(strconv.Itoa(used)); !held {
				t.Fatalf("%d was dropped while it was used, after %d more", used, i)
			}
		}
		r.add(&entry[int]{key: "new" + strconv.Itoa(i)})
	}
}

func TestRingDropsWhatIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	r := newRing[int](2)
	r.add(&entry[int]{key: "a"})
	r.add(&entry[int]{key: "b"})
	r.get("a")
	r.add(&entry[int]{key: "c"}) // in place of b
	r.add(&entry[int]{key: "d"})
	if _, held := r.peek("a"); held {
		t.Error("the entry that was used once is still held, want that it made room")
	}
}

// An entry that is loaded again is as much in use as it was.
func TestRingSparesWhatWasReplaced(t *testing.T) {
	t.Parallel()
	r := newRing[int](2)
	r.add(&entry[int]{key: "a"})
	r.add(&entry[int]{key: "b"})
	r.get("a")
	r.add(&entry[int]{key: "a"})
	r.add(&entry[int]{key: "c"})
	if _, held := r.peek("a"); !held {
		t.Error("the entry that was used and then replaced was dropped")
	}
}

func TestRingMakesRoomInBoundedTime(t *testing.T) {
	t.Parallel()
	const capacity = 10 * maxChances
	r := newRing[int](capacity)
	for i := range capacity {
		r.add(&entry[int]{key: strconv.Itoa(i)})
		r.get(strconv.Itoa(i))
	}
	r.add(&entry[int]{key: "new"})
	spent := 0
	for _, e := range r.slots {
		if !e.used {
			spent++
		}
	}
	if spent > maxChances+1 || r.len() != capacity {
		t.Errorf("%d entries lost their mark for one, want at most %d", spent, maxChances)
	}
}

func TestADeadlineOfAnyYearIsKept(t *testing.T) {
	t.Parallel()
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
	tests := []struct {
		name string
		time time.Time
		past bool
	}{
		{"none", time.Time{}, false},
		{"a minute ago", past, true},
		{"in a minute", future, false},
		{"the beginning of 1970", time.Unix(0, 0), true},
		{"a time before what nanoseconds can count", time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), true},
		{"a time beyond what nanoseconds can count", time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := newDeadline(test.time).past(); got != test.past {
				t.Errorf("%s: past %t, want %t", test.time, got, test.past)
			}
		})
	}
}
