package authz

import (
	"context"
	"sync"
	"time"
)

// historyMinutes is how many minutes a [History] goes back, the present one included.
const historyMinutes = 60

// A History has the number of decisions of each minute of the last hour, by reason. It looks
// at what [Metrics] has counted, so a decision costs nothing more. It is safe for concurrent
// use.
type History struct {
	metrics *Metrics

	mu sync.Mutex
	// counted is what Metrics had counted at the last look, at that time.
	counted reasonCounts
	at      time.Time
	// minutes has each minute at its number modulo historyMinutes.
	minutes [historyMinutes]minuteCounts
}

// reasonCounts has a number of decisions for each reason.
type reasonCounts [reasonCount]uint64

type minuteCounts struct {
	// number counts minutes since 1970.
	number int64
	reasonCounts
}

// NewHistory returns a History that begins now.
func NewHistory(m *Metrics) *History {
	return &History{metrics: m, counted: m.byReason(), at: time.Now()}
}

// Run looks at the end of each minute until ctx ends.
func (h *History) Run(ctx context.Context) error {
	for {
		now := time.Now()
		end := time.NewTimer(now.Truncate(time.Minute).Add(time.Minute).Sub(now))
		select {
		case <-end.C:
			h.look()
		case <-ctx.Done():
			end.Stop()
			return nil
		}
	}
}

// look gives what was counted since the last look to the minute of that look: there is one at
// the end of each minute.
func (h *History) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.metrics.byReason()
	number := h.at.Unix() / 60
	m := &h.minutes[number%historyMinutes]
	if m.number != number {
		*m = minuteCounts{number: number}
	}
	for r := range now {
		m.reasonCounts[r] += now[r] - h.counted[r]
	}
	h.counted, h.at = now, time.Now()
}

// DecisionCounts are the decisions of equal steps of time.
type DecisionCounts struct {
	// Step is the length of a step in seconds, and From the beginning of the first one in
	// Unix seconds.
	Step int   `json:"step_seconds"`
	From int64 `json:"from"`
	// Reasons has the number of decisions in each step, for the reasons that there were.
	// The last step is not over.
	Reasons map[string][]uint64 `json:"reasons"`
}

// LastHour returns the decisions of the last hour in steps of a minute.
func (h *History) LastHour() DecisionCounts {
	h.look()
	h.mu.Lock()
	defer h.mu.Unlock()
	first := h.at.Unix()/60 - historyMinutes + 1
	counts := DecisionCounts{Step: 60, From: first * 60, Reasons: map[string][]uint64{}}
	for i := range int64(historyMinutes) {
		m := &h.minutes[(first+i)%historyMinutes]
		if m.number != first+i {
			continue
		}
		for r, n := range m.reasonCounts {
			if n == 0 {
				continue
			}
			name := Reason(r).String()
			if counts.Reasons[name] == nil {
				counts.Reasons[name] = make([]uint64, historyMinutes)
			}
			counts.Reasons[name][i] = n
		}
	}
	return counts
}
