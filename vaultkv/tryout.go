package vaultkv

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Tryout is what a try of the connection has found. What is not known is nil.
type Tryout struct {
	// Reachable says that the server answers. Sealed and Standby are what it says of itself.
	Reachable, Sealed, Standby *bool
	// Authenticated says that the server accepts the Vault token, CanRead that it lets a
	// credential be read, and CanList that it lets credentials be listed.
	Authenticated, CanRead, CanList *bool
	// ReadTook is how long the read took.
	ReadTook *time.Duration
	// Problem is why credentials cannot be read, or else why they cannot be listed.
	Problem error
}

// tryTime bounds a try.
const tryTime = 2 * time.Second

// Try asks the server for its health, for a credential that does not exist, and for a list of
// credentials, at the same time. It takes tryTime at the most. Like [Vault.Check] it is not
// subject to the circuit breaker.
func (v *Vault) Try(ctx context.Context) Tryout {
	// Not a deadline: its end would count as the lack of an answer.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(tryTime, cancel).Stop()
	var (
		asking  sync.WaitGroup
		health  nodeHealth
		answers bool
		took    time.Duration
		reading = &Error{inconclusive: true}
		listed  bool
		listing *Error
		tried   Tryout
		asked   = v.conn.endpoints[v.conn.current.Load()]
	)
	for _, ask := range []func(){
		func() { answers = v.conn.ask(ctx, asked, healthWhateverItIs, &health) },
		func() { took, reading = v.check(ctx) },
		func() { listed, listing = v.canList(ctx) },
	} {
		asking.Go(func() {
			// A panic must not end the process; what it asked for stays unknown.
			defer func() { _ = recover() }()
			ask()
		})
	}
	asking.Wait()
	if answers {
		tried.Reachable, tried.Sealed, tried.Standby = new(true), &health.Sealed, new(health.Standby || health.PerfStandby)
	}
	tried.read(took, reading)
	tried.list(listed, listing)
	if tried.Problem == nil && tried.CanRead == nil {
		tried.Problem = fail(StateUnreachable, 0, "no answer from %s within %s; check the server's load and the network to it", v.cfg.Address, tryTime)
	}
	return tried
}

// healthWhateverItIs asks for the health of a node with an answer of status 200.
const healthWhateverItIs = "sys/health?standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200&drsecondarycode=200"

// canList reports whether there is a list of keys. It does not wait for the end of the list.
func (v *Vault) canList(ctx context.Context) (can bool, problem *Error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := v.EachKey(ctx, func(string) {
		can = true
		cancel()
	})
	errors.As(err, &problem)
	return can || err == nil, problem
}

// read adds what the outcome of a read says.
func (t *Tryout) read(took time.Duration, problem *Error) {
	if problem == nil {
		t.Reachable, t.Authenticated, t.CanRead, t.ReadTook = new(true), new(true), new(true), &took
		return
	}
	if problem.inconclusive {
		return
	}
	t.CanRead, t.Problem = new(false), problem
	switch problem.State {
	case StateTokenRejected:
		t.Reachable, t.Authenticated = new(true), new(false)
	case StateLoginRefused:
		t.Authenticated = new(false)
	case StateForbidden, StateNoMount, StateWrongVersion, StateNotCurrent:
		t.Reachable, t.Authenticated = new(true), new(true)
	case StateSealed:
		t.Reachable, t.Sealed = new(true), new(true)
	case StateLimited:
		t.Reachable = new(true)
	case StateUnreachable:
		if t.Reachable == nil {
			t.Reachable = new(false)
		}
	case StateUnknown, StateOK, StateFailing, stateCount:
	}
}

// list adds what the outcome of a list says.
func (t *Tryout) list(can bool, problem *Error) {
	switch {
	case can:
		t.CanList = new(true)
	case problem != nil && problem.State == StateForbidden:
		t.CanList = new(false)
		if t.Problem == nil {
			t.Problem = problem
		}
	}
}
