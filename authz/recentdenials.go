package authz

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxDenials is how many denials are remembered, and denialAge for how long. Each takes
	// less than 1 KiB, and the memory for a block of them is taken when its first one comes.
	maxDenials  = 10_000
	denialAge   = 15 * time.Minute
	denialBlock = 100
	// maxFound is how many denials with one id are told: clients choose ids. Half of them are
	// the newest ones. The other half are the oldest ones, so that later ones cannot hide them.
	maxFound = 100
)

// Denials remembers the last denials, so that they can be explained after the fact: those of
// 15 minutes, 10,000 at the most. It remembers no token, no header but the request id, no
// query and no body. An allow costs nothing. Once all blocks are there, a denial allocates
// nothing. It does not wait for another denial. Denials is safe for concurrent use.
type Denials struct {
	authorizer *Authorizer
	started    time.Time
	// recorded counts all denials. The next one has the place recorded modulo maxDenials.
	recorded atomic.Uint64
	blocks   [maxDenials / denialBlock]atomic.Pointer[denials]
}

// denials is a block of places. Each has a lock of its own, which two denials want at the
// same time only if there are maxDenials between them.
type denials [denialBlock]struct {
	mu sync.Mutex
	keptDenial
}

// NewDenials returns an empty Denials for the decisions of authorizer.
func NewDenials(authorizer *Authorizer) *Denials {
	return &Denials{authorizer: authorizer, started: time.Now()}
}

// Record remembers a decision about r if it denies, or would without shadow.
func (n *Denials) Record(r *Request, d *Decision, took time.Duration) {
	if !d.denied() {
		return
	}
	at := int((n.recorded.Add(1) - 1) % maxDenials)
	block := &n.blocks[at/denialBlock]
	if block.Load() == nil {
		block.CompareAndSwap(nil, &denials{})
	}
	place := &block.Load()[at%denialBlock]
	place.mu.Lock()
	defer place.mu.Unlock()
	place.keep(r, d, took, n.policyOf(d))
}

// policyOf returns the policy of a decision with what is worked out from it, nil if another
// one has replaced it meanwhile.
func (n *Denials) policyOf(d *Decision) *policy {
	if d.Policy == nil {
		return nil
	}
	if p := n.authorizer.snapshot.Load().named(d.Policy.Name); p != nil && &p.Policy == d.Policy {
		return p
	}
	return nil
}

// Found are the denials with one id.
type Found struct {
	// Denials are the newest and the oldest ones of them, the newest first. Total counts all.
	Denials []Denial
	Total   int
	// Since is the time from which on all denials are remembered.
	Since time.Time
}

// Find returns the denials of the request with an id: the one that the client was told, or its
// x-request-id. There may be more than one, since clients can choose the id.
func (n *Denials) Find(requestID string) Found {
	now := time.Now()
	recorded := n.recorded.Load()
	found := Found{Since: n.since(now, recorded)}
	var kept keptDenial
	is := sameRequest(requestID)
	var oldest []keptDenial // in turn: a later one takes the place of the newest of them
	for i := range min(recorded, maxDenials) {
		if !n.read(recorded-1-i, &kept) || now.Sub(time.Unix(0, kept.facts.at)) > denialAge || !is(&kept) {
			continue
		}
		switch found.Total++; {
		case found.Total <= maxFound/2:
			found.Denials = append(found.Denials, n.explain(&kept))
		case found.Total <= maxFound:
			oldest = append(oldest, kept)
		default:
			oldest[(found.Total-1)%len(oldest)] = kept
		}
	}
	first := 0
	if found.Total > maxFound {
		first = found.Total
	}
	for i := range oldest {
		found.Denials = append(found.Denials, n.explain(&oldest[(first+i)%len(oldest)]))
	}
	return found
}

// Latest returns the last denials, the newest first, count of them at the most. Of the policies
// that match it tells nothing: there may be very many, and clients choose the paths.
func (n *Denials) Latest(count int) []Denial {
	now, recorded := time.Now(), n.recorded.Load()
	latest := []Denial{}
	var kept keptDenial
	for i := range min(recorded, maxDenials) {
		if len(latest) == count {
			break
		}
		if n.read(recorded-1-i, &kept) && now.Sub(time.Unix(0, kept.facts.at)) <= denialAge {
			latest = append(latest, kept.denial())
		}
	}
	return latest
}

// read copies a denial. It is not ok while the denial is being recorded for the first time.
func (n *Denials) read(number uint64, into *keptDenial) (ok bool) {
	at := int(number % maxDenials)
	block := n.blocks[at/denialBlock].Load()
	if block == nil {
		return false
	}
	place := &block[at%denialBlock]
	place.mu.Lock()
	defer place.mu.Unlock()
	*into = place.keptDenial
	return into.facts.at != 0
}

// since returns from when on all denials are remembered.
func (n *Denials) since(now time.Time, recorded uint64) time.Time {
	since := now.Add(-denialAge)
	if n.started.After(since) {
		since = n.started
	}
	var oldest keptDenial
	if recorded > maxDenials && n.read(recorded-maxDenials, &oldest) && oldest.facts.at > since.UnixNano() {
		since = time.Unix(0, oldest.facts.at)
	}
	return since
}

// explain tells a denial, and by which policies such a request is selected now.
func (n *Denials) explain(k *keptDenial) Denial {
	d := k.denial()
	s := n.authorizer.snapshot.Load()
	if s == nil || d.RoutePolicy != nil || k.isCut[textHost] || k.isCut[textPath] {
		return d
	}
	d.Matching = s.matches(&Request{HTTP: k.facts.http, Host: k.text(textHost), Path: k.text(textPath)})
	governs := ""
	if len(d.Matching) > 0 {
		governs = d.Matching[0].Policy
	}
	d.MatchingChanged = k.facts.chosen && governs != d.Policy
	return d
}
