package vaultkv

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// The consistency headers of OpenBao 2.7 and later and of Vault Enterprise. Vault
// Community names no index and refuses to forward.
const (
	indexHeader        = "X-Vault-Index"
	inconsistentHeader = "X-Vault-Inconsistent"
	forwardToActive    = "forward-active-node"
	failInstead        = "fail"
)

// maxIndexLength bounds the index, which is sent with every request.
const maxIndexLength = 1024

// An index is the position in the cluster's log at which a write was answered. The node
// that answers a write has applied everything that was acknowledged before the write
// began. So of two writes that did not overlap, the index of the later one covers the
// other. Of two that overlapped, the index with the greater position covers both. If the
// positions cannot be read, the write that began later covers everything but the other
// write, and the next write or sync covers both.
//
// The answer to a read names an index too: the position of the node that answered. The
// node may be a standby that lags, so that index is never kept. The index of a login is
// not kept either, since a standby may perform a login itself.
type index struct {
	value string
	// began and ended are the times of the request whose answer named the index.
	began, ended time.Time
}

// merge keeps the index that covers both.
func (x *index) merge(other index) {
	switch {
	case other.value == "" || other.ended.Before(x.began):
		return
	case x.value == "":
	case other.began.Before(x.ended):
		if order, known := comparePositions(other.value, x.value); known && order < 0 || !known && other.began.Before(x.began) {
			other.value = x.value
		}
		other.began, other.ended = later(x.began, other.began), later(x.ended, other.ended)
	}
	*x = other
}

// comparePositions compares two indexes of OpenBao, which contain the position in the
// log. known is false if they cannot be compared: they have another format, or belong to
// two clusters.
func comparePositions(a, b string) (order int, known bool) {
	clusterA, x, okA := position(a)
	clusterB, y, okB := position(b)
	if !okA || !okB || clusterA != clusterB {
		return 0, false
	}
	switch {
	case x < y:
		return -1, true
	case x > y:
		return 1, true
	}
	return 0, true
}

func position(value string) (cluster string, at uint64, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return "", 0, false
	}
	var decoded struct{ Cluster, Value string }
	if json.Unmarshal(raw, &decoded) != nil || decoded.Cluster == "" {
		return "", 0, false
	}
	at, err = strconv.ParseUint(decoded.Value, 10, 64)
	return decoded.Cluster, at, err == nil
}

// indexOf returns the index in the header of an answer, empty if there is none.
func indexOf(h http.Header) string {
	value := h.Get(indexHeader)
	if len(value) > maxIndexLength {
		return ""
	}
	return value
}

// advance records the index of an answered write over the connection. Other connections use
// it only if the cluster is proved over this one. Any server can claim the id of another
// cluster. If its index went along with requests to that cluster, reads there could fail,
// or be stale.
func (c *connection) advance(x index) {
	of := c.cluster.Load()
	of.mu.Lock()
	shared := of.syncer != nil && of.syncer.vault.conn == c
	if shared {
		of.index.merge(x)
	}
	of.mu.Unlock()
	if !shared {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.written.merge(x)
	}
}

// latestIndex returns the index that requests over the connection carry, and whether it is
// recent: an older one may be from before the cluster was restored from a backup.
func (c *connection) latestIndex() (value string, recent bool) {
	of := c.cluster.Load()
	of.mu.Lock()
	x := of.index
	of.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	x.merge(c.written)
	return x.value, time.Since(x.ended) <= of.proofAge
}

// withIndex returns the request with headers that make a node that lags behind the index
// forward the request to the active node, or refuse it. Without an index there are no
// headers: Vault Community would refuse them.
func (c *connection) withIndex(r *http.Request) *http.Request {
	value, _ := c.latestIndex()
	if value == "" {
		return r
	}
	r = r.WithContext(r.Context())
	r.Header = r.Header.Clone()
	r.Header.Set(indexHeader, value)
	if !c.noForwarding.Load() {
		r.Header.Set(inconsistentHeader, forwardToActive)
	}
	return r
}

// mustNotForward reports whether a server refused a request, without performing it,
// because it does not forward at a client's request. That is the default of Vault
// Enterprise.
func mustNotForward(resp *http.Response) bool {
	return resp.StatusCode == http.StatusBadRequest && resp.Request != nil && resp.Request.Header.Get(inconsistentHeader) == forwardToActive &&
		bytes.Contains(peek(resp), []byte(inconsistentHeader)) && bytes.Contains(peek(resp), []byte("disabled in configuration"))
}

// lags reports whether a node refused a request because it lags behind the index of the
// request. It catches up in a moment.
func lags(r *http.Request, resp *http.Response) bool {
	return resp != nil && resp.StatusCode == http.StatusPreconditionFailed && r.Header.Get(indexHeader) != ""
}

// errBehind is the error of an answer that is older than the index of its request. A
// former active node that was paused gives such answers before it notices that it is no
// longer active.
var errBehind = errors.New("answer is older than its cluster")

// behind reports whether a read was answered from a state older than the index of the
// request.
func (c *connection) behind(r *http.Request, resp *http.Response) bool {
	asked := r.Header.Get(indexHeader)
	if r.Method != http.MethodGet || asked == "" {
		return false
	}
	order, known := comparePositions(resp.Header.Get(indexHeader), asked)
	_, recent := c.latestIndex()
	return known && order < 0 && recent
}
