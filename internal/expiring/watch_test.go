package expiring

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// day0 is a time at a full minute.
var day0 = time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC)

const never = -1 * time.Second

// after returns a time after day0, the zero time for never.
func after(d time.Duration) time.Time {
	if d == never {
		return time.Time{}
	}
	return day0.Add(d)
}

func TestACredentialCountsIfItIsInUseAndExpiresSoon(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		end  time.Duration
		want Count
	}{
		{never, Count{}},
		{400 * day, Count{}},
		{31 * day, Count{}},
		{30 * day, Count{Month: 1}},
		{7*day + time.Minute, Count{Month: 1}},
		{7 * day, Count{Week: 1, Month: 1}},
		{day + time.Minute, Count{Week: 1, Month: 1}},
		{day, Count{Day: 1, Week: 1, Month: 1}},
		{time.Minute, Count{Day: 1, Week: 1, Month: 1}},
	} {
		t.Run(fmt.Sprint(test.end), func(t *testing.T) {
			t.Parallel()
			w := New(10_000)
			if u := w.Read("a", after(test.end), time.Time{}, day0); u != nil {
				u.Used(day0, false)
			}
			if got := w.Count(day0); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestAReplacedSecretCountsIfItIsInUseAndExpiresSoon(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		end      time.Duration
		replaced bool
		usedAgo  time.Duration
		want     Count
	}{
		{"in an hour", time.Hour, true, 0, Count{ReplacedHour: 1, ReplacedDay: 1}},
		{"in a day", day, true, 0, Count{ReplacedDay: 1}},
		{"later", day + time.Minute, true, 0, Count{}},
		{"used an hour ago", time.Hour, true, time.Hour, Count{ReplacedHour: 1, ReplacedDay: 1}},
		{"used longer ago", time.Hour, true, time.Hour + time.Minute, Count{}},
		{"its client has changed over", time.Hour, false, 0, Count{}},
		{"it is not accepted any more", 0, true, 0, Count{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := New(10_000)
			used := day0.Add(-test.usedAgo)
			u := w.Read("a", time.Time{}, after(test.end), used.Add(-time.Minute))
			u.Used(used, test.replaced)
			if got := w.Count(day0); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestHowLongACredentialCounts(t *testing.T) {
	t.Parallel()
	one := Count{Day: 1, Week: 1, Month: 1}
	for _, test := range []struct {
		name string
		do   func(w *Watch, u *Use)
		at   time.Duration
		want Count
	}{
		{"from its first use", func(w *Watch, _ *Use) { w.Forget("a"); w.Read("a", after(time.Hour), time.Time{}, day0) }, 0, Count{}},
		{"until a day after its last use, although it has expired", nil, day, one},
		{"not longer", nil, day + time.Minute, Count{}},
		{"while it is used", func(_ *Watch, u *Use) { u.Used(day0.Add(20*time.Hour), false) }, 30 * time.Hour, one},
		{"through the next read", func(w *Watch, _ *Use) { w.Read("a", after(time.Hour), time.Time{}, day0) }, 0, one},
		{"until it is forgotten", func(w *Watch, _ *Use) { w.Forget("a") }, 0, Count{}},
		{"until all are forgotten", func(w *Watch, _ *Use) { w.ForgetAll() }, 0, Count{}},
		{"until its end is moved", func(w *Watch, _ *Use) { w.Read("a", after(90*day), time.Time{}, day0) }, 0, Count{}},
		{"until it has no end", func(w *Watch, _ *Use) { w.Read("a", time.Time{}, time.Time{}, day0) }, 0, Count{}},
		{"also after a long rest", func(w *Watch, _ *Use) {
			u := w.Read("a", after(8*day+time.Hour), time.Time{}, day0)
			w.Count(day0.Add(8 * day)) // it may still be in the cache, at the longest max_ttl
			u.Used(day0.Add(8*day), false)
		}, 8 * day, one},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := New(10_000)
			u := w.Read("a", after(time.Hour), time.Time{}, day0)
			u.Used(day0, false)
			if test.do != nil {
				test.do(w, u)
			}
			if got := w.Count(day0.Add(test.at)); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestARotationBeginsAnew(t *testing.T) {
	t.Parallel()
	w := New(10_000)
	w.Read("a", time.Time{}, after(time.Hour), day0).Used(day0, true)
	w.Read("a", time.Time{}, after(2*time.Hour), day0).Used(day0, false)
	if got := w.Count(day0); got != (Count{}) {
		t.Errorf("got %+v, want nothing: only the secret before the last one was used", got)
	}
}

func (w *Watch) kept() (n int) {
	for i := range w.shards {
		n += len(w.shards[i].uses)
	}
	return n
}

func TestWhatIsNotUsedForLongIsNotKept(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		end   time.Duration
		after time.Duration
		want  int
	}{
		{"it is in use", time.Hour, window, 100},
		{"it has expired", time.Hour, window + time.Minute, 0},
		{"it may be used again without being read", 30 * day, unread + window, 100},
		{"it would have been read", 30 * day, unread + window + time.Minute, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := New(10_000)
			for i := range 100 {
				w.Read(fmt.Sprint(i), after(test.end), time.Time{}, day0).Used(day0, false)
			}
			w.Count(day0.Add(test.after))
			if got := w.kept(); got != test.want {
				t.Errorf("%d credentials are kept, want %d", got, test.want)
			}
		})
	}
}

func TestWhatDoesNotExpireSoonIsNotKept(t *testing.T) {
	t.Parallel()
	for end, want := range map[time.Duration]int{never: 0, 400 * day: 0, horizon: 0, horizon - time.Minute: 1} {
		w := New(10_000)
		w.Read("a", after(end), time.Time{}, day0)
		w.Read("b", time.Time{}, after(end), day0)
		if got := w.kept(); got != 2*want {
			t.Errorf("an end in %s: %d credentials are kept, want %d", end, got, 2*want)
		}
		if u := w.Read("a", after(end), time.Time{}, day0); (u != nil) != (want == 1) {
			t.Errorf("an end in %s: its uses are told to %v", end, u)
		}
	}
}

func TestMoreCredentialsThanItsCapacityAreNotKept(t *testing.T) {
	t.Parallel()
	w := New(1000)
	for i := range 10_000 {
		w.Read(fmt.Sprint(i), after(time.Hour), time.Time{}, day0).Used(day0, false)
	}
	if kept, got := w.kept(), w.Count(day0).Day; kept < 1000 || kept > 1000+shards || got != kept {
		t.Errorf("%d credentials are kept and %d counted, want about 1000", kept, got)
	}
}

func TestUsesAndReadsAndCountsAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := New(10_000)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 200 {
				u := w.Read(fmt.Sprint(i), after(time.Hour), after(time.Hour), day0)
				u.Used(day0.Add(time.Duration(i)*time.Second), i%2 == 0)
				w.Count(day0)
			}
		})
	}
	all.Wait()
	if got, want := w.Count(day0), (Count{200, 200, 200, 100, 100}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// BenchmarkCount counts a million credentials that all expire soon. A shard is locked for a 64th of
// the time.
func BenchmarkCount(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := New(2 * n)
			for i := range n {
				w.Read(fmt.Sprintf("an-access-token-of-usual-length-%d", i), after(time.Duration(i%30)*day), time.Time{}, day0).Used(day0, false)
			}
			for b.Loop() {
				w.Count(day0)
			}
		})
	}
}

func BenchmarkUsed(b *testing.B) {
	u := New(10_000).Read("a", after(time.Hour), time.Time{}, day0)
	for b.Loop() {
		u.Used(day0, false)
	}
}
