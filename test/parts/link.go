package parts

import (
	"net"
	"slices"
	"sync"
	"time"
)

// A Link is one direction between two programs. It can be slow, silent or cut. The zero
// value forwards everything at once. It is safe for concurrent use.
type Link struct {
	mu    sync.Mutex
	state linkState
	delay time.Duration
	// changed is closed when the state changes, nil if no goroutine waits for it.
	changed chan struct{}
	open    map[*crossing]bool
}

type linkState int

const (
	linkPasses linkState = iota
	linkSilent
	linkCut
)

// A crossing is a connection through a [Proxy], with both of its ends.
type crossing struct{ client, server net.Conn }

func (c *crossing) abort() {
	abort(c.client)
	abort(c.server)
}

// Cut resets every connection, new and old, until [Link.Restore].
func (l *Link) Cut() { l.set(linkCut) }

// Silence holds back all data until [Link.Restore], without a signal to either end, like
// a network that loses packets. Then the data arrives, as if it had been sent again.
func (l *Link) Silence() { l.set(linkSilent) }

// Restore ends [Link.Cut] and [Link.Silence].
func (l *Link) Restore() { l.set(linkPasses) }

// SetDelay delays all data.
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

// keep registers a connection, to end it when the link is cut. It returns false if the link
// is cut already.
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

// A parcel is the data of one read, and when it must arrive. The last parcel of a connection
// is empty.
type parcel struct {
	content []byte
	due     time.Time
}

// carry forwards data until the sender closes or done is closed, and then closes both ends.
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

// collect reads until the sender closes.
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

// pass waits until data that is due at a time may arrive. It returns false if it must not.
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
