package parts

import (
	"net"
	"slices"
	"sync"
	"time"
)

// A Link is one way between two programs: what one of them sends to the other.
// It can be slow, silent or cut. The zero value passes everything on at once. It
// is safe for concurrent use.
type Link struct {
	mu    sync.Mutex
	state linkState
	delay time.Duration
	// changed is closed when the state changes, nil if nobody waits for it.
	changed chan struct{}
	open    map[*crossing]bool
}

type linkState int

const (
	linkPasses linkState = iota
	linkSilent
	linkCut
)

// A crossing is a connection through a [Proxy], seen from both of its ends.
type crossing struct{ client, server net.Conn }

func (c *crossing) abort() {
	abort(c.client)
	abort(c.server)
}

// Cut resets every connection, new and old, until [Link.Restore].
func (l *Link) Cut() { l.set(linkCut) }

// Silence holds back everything until [Link.Restore], and neither end is told: so
// a network loses packets. What was held back arrives then, as if it had been
// sent again.
func (l *Link) Silence() { l.set(linkSilent) }

// Restore ends [Link.Cut] and [Link.Silence].
func (l *Link) Restore() { l.set(linkPasses) }

// SetDelay has everything arrive that much later.
func (l *Link) SetDelay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

func (l *Link) set(s linkState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	if s == linkCut {
		for c := range l.open {
			c.abort()
		}
	}
}

// keep has the connection end when the link is cut, and says whether it is not.
func (l *Link) keep(c *crossing) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == linkCut {
		return false
	}
	if l.open == nil {
		l.open = map[*crossing]bool{}
	}
	l.open[c] = true
	return true
}

func (l *Link) forget(c *crossing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// A parcel is what was read at once, and when it is to arrive. The last one of a
// connection is empty.
type parcel struct {
	content []byte
	due     time.Time
}

// carry passes on what one end sends until it ends or done is closed, and then
// ends the other.
func (l *Link) carry(to, from net.Conn, done <-chan struct{}) {
	parcels := make(chan parcel, 64)
	var reader sync.WaitGroup
	reader.Go(func() { l.collect(parcels, from) })
	for p := range parcels {
		if !l.pass(p.due, done) {
			break
		}
		if _, err := to.Write(p.content); err != nil {
			break
		}
	}
	_ = to.Close()
	_ = from.Close()
	for range parcels {
	}
	reader.Wait()
}

// collect reads until the end.
func (l *Link) collect(parcels chan<- parcel, from net.Conn) {
	defer close(parcels)
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		due := time.Now().Add(l.delay)
		l.mu.Unlock()
		if n > 0 {
			parcels <- parcel{slices.Clone(buf[:n]), due}
		}
		if err != nil {
			parcels <- parcel{due: due}
			return
		}
	}
}

// pass waits until what is due may arrive, and says whether it may at all.
func (l *Link) pass(due time.Time, done <-chan struct{}) bool {
	for {
		state, changed := l.look()
		if state == linkCut {
			return false
		}
		var arrives <-chan time.Time
		if state == linkPasses {
			wait := time.Until(due)
			if wait <= 0 {
				return true
			}
			timer := time.NewTimer(wait)
			defer timer.Stop()
			arrives = timer.C
		}
		select {
		case <-arrives:
		case <-changed:
		case <-done:
			return false
		}
	}
}

func (l *Link) look() (linkState, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.state, l.changed
}
