package cache

import "time"

// Stats are the counters and sizes of a Cache, for metrics. Counters only grow. All values are
// from the same moment.
type Stats struct {
	// Hits counts lookups answered by a fresh value.
	Hits uint64
	// StaleHits counts lookups answered by a stale one.
	StaleHits uint64
	// AbsentHits counts lookups answered from the table of absent keys.
	AbsentHits uint64
	// Misses counts lookups that could not be answered at once. A miss that a stale value
	// answers later also counts in StaleHits.
	Misses uint64
	// CoalescedWaits counts the Misses that joined a load in flight.
	CoalescedWaits uint64
	// Busy counts refused loads for which a caller waited.
	Busy uint64

	// Loads counts all loads, Refreshes the background loads among them.
	Loads, Refreshes uint64
	// RefreshesSkipped counts background loads that got no slot.
	RefreshesSkipped uint64
	// LoadErrors counts loads with an error other than a definite "not found", LoadPanics
	// the panics among them.
	LoadErrors, LoadPanics uint64
	// VoidLoads counts loads whose result was dropped because of an Invalidate or Close.
	VoidLoads uint64

	// Evictions counts evicted values, AbsentEvictions evicted absent keys.
	Evictions, AbsentEvictions uint64

	// Entries and AbsentEntries are the numbers of values and absent keys, including
	// expired ones that were not removed yet. LoadsInFlight is the number of running loads.
	Entries, AbsentEntries, LoadsInFlight int
	// WorstStaleness is the longest time for which a value is served that has changed in
	// the store without an Invalidate: MaxTTL + MaxStale.
	WorstStaleness time.Duration
}

// Stats returns the current values.
func (c *Cache[V]) Stats() Stats {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Entries, s.AbsentEntries = t.entries.Len(), t.absent.Len()
	s.LoadsInFlight = int(c.admission.taken.Load())
	s.WorstStaleness = c.cfg.MaxTTL + c.cfg.MaxStale
	return s
}
