package parts

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// StartLimit is how long a program may take to be ready. It is long enough for the race
// detector on two cores.
const StartLimit = 45 * time.Second

// pollInterval is the interval at which a condition is checked.
const pollInterval = 20 * time.Millisecond

// Await checks a condition until it holds, ctx ends, or the process p ends, which may be
// nil. The error wraps the last error of the condition.
func Await(ctx context.Context, p *Process, condition func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var exited <-chan struct{}
	if p != nil {
		exited = p.Exited()
	}
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-exited:
			return fmt.Errorf("the process ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("timed out: %w", err)
		}
	}
}

// Address returns a free loopback address, with the preferred port if that is free. Another
// program may take it before it is used: let programs choose their port if they can report
// it.
func Address(ctx context.Context, preferredPort int) (string, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", preferredPort))
	if err != nil {
		ln, err = lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	address := ln.Addr().String()
	return address, ln.Close()
}

// Port returns the port of a host:port.
func Port(address string) (int, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
