package main

import (
	"strings"
	"sync"
	"time"
)

// A counter records the requests to Vault. The zero value is ready. It is safe for
// concurrent use.
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

// between returns the number of requests in [from, until).
func (c *counter) between(from, sleepUntil time.Time) int {
	return c.matching("", from, sleepUntil)
}

// matching returns the number of requests in [from, until) whose path contains part.
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

// worst returns the maximum number in a second that begins in a period.
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
