package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// heartbeatInterval is the interval of a [heartbeat].
const heartbeatInterval = 20 * time.Millisecond

// A heartbeat measures how long the machine keeps processes waiting: it sends a line to
// another process and back again and again. Results from a time when the machine was busy
// say nothing about the service. It is safe for concurrent use.
type heartbeat struct {
	mu    sync.Mutex
	beats []roundTrip
}

// A roundTrip is one line to the other process and back.
type roundTrip struct {
	due  time.Time
	took time.Duration
}

// run sends lines until ctx ends.
func (h *heartbeat) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the heartbeat: %w", err)
	}
	defer func() { _ = cmd.Wait() }()
	lines := bufio.NewReader(out)
	for due := time.Now(); sleepUntil(ctx, due); due = time.Now().Add(heartbeatInterval) {
		if _, err = in.Write([]byte("beat\n")); err == nil {
			_, err = lines.ReadString('\n')
		}
		if err != nil {
			break
		}
		h.add(roundTrip{due, time.Since(due)})
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (h *heartbeat) add(p roundTrip) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.beats = append(h.beats, p)
}

// worst returns the longest round trip that began in a period.
func (h *heartbeat) worst(from, to time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	var worst time.Duration
	for _, p := range h.beats {
		if !p.due.Before(from) && p.due.Before(to) {
			worst = max(worst, p.took)
		}
	}
	return worst
}
