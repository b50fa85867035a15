package cache

import "time"

// Stats is what a Cache has done and holds, for metrics. The counters only ever
// grow; taken together they are of one moment.
type Stats struct {
	// Hits counts lookups answered by a fresh value.
	Hits uint64
	// StaleHits counts lookups answered by a stale one.
	StaleHits uint64
	// AbsentHits counts lookups answered by the memory of an absent key.
	AbsentHits uint64
	// Misses counts lookups that found nothing to answer with at once. Those of
	// them that a stale value answered in the end are StaleHits as well.
	Misses uint64
	// CoalescedWaits counts those Misses that joined a load already running.
	CoalescedWaits uint64
	// Busy counts loads that were refused by a limit with somebody waiting.
	Busy uint64

	// Loads counts all loads that began, Refreshes those of them in the
	// background.
	Loads, Refreshes uint64
	// RefreshesSkipped counts background loads for which there was no slot.
	RefreshesSkipped uint64
	// LoadErrors counts loads that ended in an error other than a definite
	// "absent", LoadPanics those of them that panicked.
	LoadErrors, LoadPanics uint64
	// VoidLoads counts loads whose result came too late: after an Invalidate
	// or Close.
	VoidLoads uint64

	// Evictions counts values that made room for others, AbsentEvictions the
	// same of absent keys.
	Evictions, AbsentEvictions uint64

	// Entries and AbsentEntries are how many there are, expired ones that have
	// not been noticed included; LoadsInFlight is how many loads run.
	Entries, AbsentEntries, LoadsInFlight int
	// WorstStaleness is the longest time for which a value is used that has
	// changed in the store without an Invalidate: MaxTTL + MaxStale.
	WorstStaleness time.Duration
}

// Stats returns the figures of now.
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
