package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// beat is how often a heartbeat goes to another process and back.
const heartbeatInterval = 20 * time.Millisecond

// A heartbeat tells how long the machine itself keeps processes waiting: it
// sends a line through another process and back all the time. What a service
// does while the machine is busy with something else says nothing about it. It
// is safe for concurrent use.
type heartbeat struct {
	mu    sync.Mutex
	beats []roundTrip
}

// A pulse is one line that went there and back.
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

// worst returns the longest that a line took in a span of time.
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
