package authz

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

// elsewhere is consumers by id, and counts how often they were asked for.
type elsewhere struct {
	mu    sync.Mutex
	byID  map[string]Consumer
	asked map[string]int
	bad   error
}

func (e *elsewhere) ByID(id string) (Consumer, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked[id]++
	if e.bad != nil {
		return Consumer{}, e.bad
	}
	c, ok := e.byID[id]
	if !ok {
		return Consumer{}, ErrNotFound
	}
	return c, nil
}

func (e *elsewhere) ByUsername(name string) (Consumer, error) {
	for _, c := range e.byID {
		if c.Username == name {
			return c, nil
		}
	}
	return Consumer{}, ErrNotFound
}

func stored(n int, groups ...string) Consumer {
	return Consumer{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Username: fmt.Sprintf("user-%d", n), Groups: groups}
}

func newElsewhere(consumers ...Consumer) *elsewhere {
	e := &elsewhere{byID: map[string]Consumer{}, asked: map[string]int{}}
	for _, c := range consumers {
		e.byID[c.ID] = c
	}
	return e
}

func directory(t *testing.T, more Consumers, declared ...Consumer) *Directory {
	t.Helper()
	d, err := NewDirectory(declared, more)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConsumerThatIsKeptElsewhereIsWorkedOutOnce(t *testing.T) {
	e := newElsewhere(stored(1), stored(2))
	d := directory(t, e)
	first, err := d.consumer(stored(1).ID)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if again, err := d.consumer(stored(1).ID); err != nil || again != first {
			t.Fatalf("the consumer is another one, or %v", err)
		}
	}
	if n := e.asked[stored(1).ID]; n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	id := stored(1).ID
	if allocs := testing.AllocsPerRun(100, func() { _, _ = d.consumer(id) }); allocs != 0 {
		t.Errorf("a known consumer costs %v allocations, want none", allocs)
	}
}

func TestNextDirectoryForgetsOnlyWhatHasChanged(t *testing.T) {
	t.Parallel()
	one, two := stored(1, "gold"), stored(2)
	d := directory(t, newElsewhere(one, two))
	kept, _ := d.consumer(two.ID)
	if _, err := d.consumer(one.ID); err != nil {
		t.Fatal(err)
	}
	changed := newElsewhere(stored(1, "silver"), two)
	next := d.Next(changed, []string{one.ID})
	if c, err := next.consumer(one.ID); err != nil || c.Groups[0] != "silver" {
		t.Errorf("the changed consumer is %+v, %v", c, err)
	}
	if c, _ := next.consumer(two.ID); c != kept {
		t.Error("the other consumer was worked out again")
	}
	if c, _ := d.consumer(one.ID); c.Groups[0] != "gold" {
		t.Error("the directory before has changed")
	}
	gone := next.Next(newElsewhere(two), []string{one.ID})
	if _, err := gone.consumer(one.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the deleted consumer: %v, want not found", err)
	}
}

func TestConsumerThatMustNotBeUsedIsRefused(t *testing.T) {
	t.Parallel()
	bad := errors.New("its record cannot be understood")
	tests := []struct {
		name string
		more *elsewhere
		id   string
		want error
	}{
		{"not there", newElsewhere(), stored(1).ID, ErrNotFound},
		{"cannot be understood", &elsewhere{asked: map[string]int{}, bad: bad}, stored(1).ID, bad},
		{"without a name", newElsewhere(Consumer{ID: stored(1).ID}), stored(1).ID, nil},
	}
	for _, tt := range tests {
		c, err := directory(t, tt.more).consumer(tt.id)
		if c != nil || err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, %v", tt.name, c, err)
		}
	}
}

func TestDeclaredConsumerComesBeforeOneThatIsKeptElsewhere(t *testing.T) {
	t.Parallel()
	declared := Consumer{ID: stored(1).ID, Username: "declared"}
	d := directory(t, newElsewhere(stored(1), stored(2)), declared)
	if c := d.named(stored(1).ID); c == nil || c.Username != "declared" {
		t.Errorf("by id: %+v", c)
	}
	for _, name := range []string{"declared", "user-2", stored(2).ID} {
		if d.named(name) == nil {
			t.Errorf("%s is not found", name)
		}
	}
	if d.named("nobody") != nil {
		t.Error("a name that is not there is found")
	}
}

func TestDirectoryIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	var all []Consumer
	for i := range 50 {
		all = append(all, stored(i))
	}
	e := newElsewhere(all...)
	d := directory(t, e)
	seen := make([]*consumer, len(all))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i, c := range all {
				got, err := d.consumer(c.ID)
				mu.Lock()
				if err != nil || seen[i] != nil && seen[i] != got {
					t.Errorf("%s: two consumers for one id, or %v", c.Username, err)
				}
				seen[i] = got
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
