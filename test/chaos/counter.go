package main

import (
	"strings"
	"sync"
	"time"
)

// A counter keeps when Vault was asked, and for what. It is safe for concurrent
// use, and the zero value is ready.
type counter struct {
	mu   sync.Mutex
	asks []ask
}

// An ask is a request, or with an empty path an attempt at one that was never
// understood: a connection that was reset, packets that were lost.
type ask struct {
	at   time.Time
	path string
}

func (c *counter) add(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks = append(c.asks, ask{time.Now(), path})
}

// between returns how often Vault was asked from one moment on until before
// another.
func (c *counter) between(from, until time.Time) int {
	return c.matching("", from, until)
}

// matching counts only the paths that have a part.
func (c *counter) matching(part string, from, until time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, a := range c.asks {
		if !a.at.Before(from) && a.at.Before(until) && strings.Contains(a.path, part) {
			n++
		}
	}
	return n
}

// worst returns the most in any second that begins in a span of time.
func (c *counter) worst(from, until time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	worst, first := 0, 0
	for last, a := range c.asks {
		if a.at.Before(from) {
			first = last + 1
			continue
		}
		for a.at.Sub(c.asks[first].at) >= time.Second {
			first++
		}
		if c.asks[first].at.After(until) {
			break
		}
		worst = max(worst, last-first+1)
	}
	return worst
}
