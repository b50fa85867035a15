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

// The headers of consistency, of OpenBao from 2.7 on and Vault Enterprise. Vault
// Community names no index, and refuses to forward.
const (
	indexHeader        = "X-Vault-Index"
	inconsistentHeader = "X-Vault-Inconsistent"
	forwardToActive    = "forward-active-node"
	failInstead        = "fail"
)

// maxIndexLength bounds what is sent along with every request.
const maxIndexLength = 1024

// An index is how far a cluster had got when it answered a write. The node that
// answers a write has applied all that had been acknowledged before that write
// began. So of two writes that did not overlap, the index of the later one covers
// that of the other. Where they did, that of the greater position does; where
// positions cannot be read, the write that began later covers all but the other
// one, and the next write or sync covers both.
//
// Reads name an index too, of how far the node that answered has got. It may be a
// standby that lags, so it is never kept; nor is the one of a login, which a
// standby may do by itself.
type index struct {
	value string
	// began is when the request began whose answer named it, ended when that
	// came.
	began, ended time.Time
}

// take keeps what covers both.
func (x *index) take(other index) {
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

// comparePositions compares two indexes of OpenBao, which has the position of the
// log in them. known is false for what it does not understand, such as those of
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
	var said struct{ Cluster, Value string }
	if json.Unmarshal(raw, &said) != nil || said.Cluster == "" {
		return "", 0, false
	}
	at, err = strconv.ParseUint(said.Value, 10, 64)
	return said.Cluster, at, err == nil
}

// indexOf returns the index in the header of an answer.
func indexOf(h http.Header) string {
	value := h.Get(indexHeader)
	if len(value) > maxIndexLength {
		return ""
	}
	return value
}

// answered takes note of the answer to a write.
func (c *cluster) answered(x index) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index.take(x)
}

// known returns the index, and whether it is young: an old one may be of a
// cluster that was set back to a backup since.
func (c *cluster) known() (value string, young bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.index.value, time.Since(c.index.ended) <= c.proofAge
}

// stamped returns the request with what makes a node that has not got as far as
// the cluster pass it on to the active node, or refuse it. Without an index
// nothing is sent: Vault Community would refuse it.
func (c *connection) stamped(r *http.Request) *http.Request {
	value, _ := c.cluster.Load().known()
	if value == "" {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set(indexHeader, value)
	if !c.noForwarding.Load() {
		r.Header.Set(inconsistentHeader, forwardToActive)
	}
	return r
}

// mustNotForward says whether a server refused a request because it is not to
// forward for clients, as Vault Enterprise does by default. It has not been done.
func mustNotForward(resp *http.Response) bool {
	return resp.StatusCode == http.StatusBadRequest && resp.Request != nil && resp.Request.Header.Get(inconsistentHeader) == forwardToActive &&
		bytes.Contains(peek(resp), []byte(inconsistentHeader)) && bytes.Contains(peek(resp), []byte("disabled in configuration"))
}

// lags says whether a node refused a request because it has not got as far as the
// request wants. It will in a moment.
func lags(r *http.Request, resp *http.Response) bool {
	return resp != nil && resp.StatusCode == http.StatusPreconditionFailed && r.Header.Get(indexHeader) != ""
}

// errBehind is an answer that is older than what was asked for. A former active
// node that was stopped for a while gives such ones, to what had been sent before
// it noticed.
var errBehind = errors.New("answer is older than its cluster")

// behind says whether a read was answered from a state that is older than the
// one that was asked for.
func (c *connection) behind(r *http.Request, resp *http.Response) bool {
	asked := r.Header.Get(indexHeader)
	if r.Method != http.MethodGet || asked == "" {
		return false
	}
	order, known := comparePositions(resp.Header.Get(indexHeader), asked)
	_, young := c.cluster.Load().known()
	return known && order < 0 && young
}
