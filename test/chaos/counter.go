package main

import (
	"strings"
	"sync"
	"time"
)

// A counter keeps when Vault was asked, and for what. It is safe for concurrent
// use, and the zero value is ready.
type counter struct {
	mu       sync.Mutex
	requests []vaultRequest
}

// A vaultRequest is a request that Vault received. Its path is empty if the request
// did not arrive: the connection was reset, or packets were lost.
type vaultRequest struct {
	at   time.Time
	path string
}

func (c *counter) add(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, vaultRequest{time.Now(), path})
}

// between returns how often Vault was asked from one moment on until before
// another.
func (c *counter) between(from, sleepUntil time.Time) int {
	return c.matching("", from, sleepUntil)
}

// matching counts only the paths that have a part.
func (c *counter) matching(part string, from, sleepUntil time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, a := range c.requests {
		if !a.at.Before(from) && a.at.Before(sleepUntil) && strings.Contains(a.path, part) {
			n++
		}
	}
	return n
}

// worst returns the most in any second that begins in a span of time.
func (c *counter) worst(from, sleepUntil time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	worst, first := 0, 0
	for last, a := range c.requests {
		if a.at.Before(from) {
			first = last + 1
			continue
		}
		for a.at.Sub(c.requests[first].at) >= time.Second {
			first++
		}
		if c.requests[first].at.After(sleepUntil) {
			break
		}
		worst = max(worst, last-first+1)
	}
	return worst
}
