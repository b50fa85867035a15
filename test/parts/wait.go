package parts

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// StartLimit bounds how long any of the programs may take to be ready. It is
// generous because tests share two cores with a race detector.
const StartLimit = 45 * time.Second

// pollInterval is how often a condition is looked at.
const pollInterval = 20 * time.Millisecond

// Await looks at a condition until it holds, ctx ends, or the process that is
// to bring it about ends (nil for none). The error is the condition's last one.
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
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting: %w", err)
		}
	}
}

// Address returns a free loopback address, with the preferred port if that is
// free. Somebody else may take it before it is used, so programs that can
// report a port of their own are not given one.
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
