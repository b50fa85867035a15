package vaultkv

import (
	"net/http"
	"time"
)

// The headers of consistency, of OpenBao from 2.7 on and Vault Enterprise. Other
// servers neither send nor heed them.
const (
	indexHeader        = "X-Vault-Index"
	inconsistentHeader = "X-Vault-Inconsistent"
	forwardToActive    = "forward-active-node"
)

// maxIndexLength bounds what is sent along with every request.
const maxIndexLength = 1024

// An index is how far a cluster had got when it answered a write. What it says is
// the server's business: two of them cannot be compared. But the node that
// answers a write has applied all that had been acknowledged before that write
// began; so of two indexes, the one whose write began later covers all that was
// acknowledged before either began, and it is the one to keep.
//
// What it may lack is a write that overlapped with its own. That is covered by
// the next write or sync; who needs it at once waits for a sync.
//
// Reads name an index too, of how far the node that answered has got. It may be a
// standby that lags, so it is never kept; nor is the one of a login, which a
// standby may do by itself.
type index struct {
	value string
	// began is when the request began whose answer named it.
	began time.Time
}

// take keeps the one of the later beginning.
func (x *index) take(other index) {
	if other.value != "" && !other.began.Before(x.began) {
		*x = other
	}
}

// answered takes note of the answer to a write.
func (c *cluster) answered(a *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index.take(a.index)
}

// stamped returns the request with what makes a node that has not got as far as
// the cluster pass it on to the active node, or refuse it. Without an index
// nothing is sent: a header alone would tell a server that stale is good enough.
func (c *cluster) stamped(r *http.Request) *http.Request {
	c.mu.Lock()
	value := c.index.value
	c.mu.Unlock()
	if value == "" {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set(indexHeader, value)
	r.Header.Set(inconsistentHeader, forwardToActive)
	return r
}

// indexOf returns the index in the header of an answer.
func indexOf(h http.Header, began time.Time) index {
	value := h.Get(indexHeader)
	if len(value) > maxIndexLength {
		value = ""
	}
	return index{value, began}
}
