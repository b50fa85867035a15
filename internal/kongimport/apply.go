package kongimport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/internal/api"
)

const (
	// batchSize is the number of entities in one call, batchesAtOnce the number of
	// concurrent calls, so that the service never waits for the next.
	batchSize     = 500
	batchesAtOnce = 2
)

// Apply makes the entities of the plan and notes the results in the steps. Plugins are
// not made after a failure: without its groups or its acl, a plugin lets more through
// than it does in Kong. made is called with the number of entities made since its last
// call.
//
// If the service does not answer, or ctx ends, the rest is not tried.
func (c *Changes) Apply(ctx context.Context, client *api.Client, made func(n int)) {
	a := applying{ctx: ctx, client: client, made: made}
	for i := 0; i < len(c.Steps); {
		n := c.alike(i)
		switch s := &c.Steps[i]; {
		case s.Action != Create:
		case s.make == nil:
			a.batches(c.Steps[i : i+n])
		case s.Kind == kindPlugin && c.Count(Failed) > 0:
			a.end(s, errors.New("not made, because something before it failed"))
		default:
			a.one(s)
		}
		i += n
	}
}

// alike returns how many steps from i on are of one kind and can be made in batches,
// at least 1.
func (c *Changes) alike(i int) int {
	first, n := &c.Steps[i], 1
	for ; first.Action == Create && first.make == nil && i+n < len(c.Steps); n++ {
		if s := &c.Steps[i+n]; s.Action != Create || s.make != nil || s.Kind != first.Kind {
			break
		}
	}
	return n
}

// applying is the state of one call of Apply. Its methods are safe for concurrent use.
type applying struct {
	ctx    context.Context //nolint:containedctx // it is that of the call
	client *api.Client
	made   func(int)

	mu sync.Mutex
	// stopped is the reason for trying no more steps. mu guards it and made.
	stopped error
}

// end notes the result of a step.
func (a *applying) end(s *Step, err error) {
	if err != nil {
		s.Action, s.failure = Failed, err
		s.Notes = append(s.Notes, err.Error())
		return
	}
	s.Action = Created
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made(1)
}

func (a *applying) one(s *Step) {
	if err := a.goOn(); err != nil {
		a.end(s, err)
		return
	}
	a.end(s, s.make(a.ctx, a.client))
}

// goOn returns the reason for trying no more steps, nil to go on.
func (a *applying) goOn() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx.Err() != nil {
		a.stopped = errors.New("interrupted")
	}
	if a.stopped != nil {
		return fmt.Errorf("not tried: %w", a.stopped)
	}
	return nil
}

func (a *applying) stop(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped == nil {
		a.stopped = err
	}
}

// batches makes entities of one kind, which do not depend on one another.
func (a *applying) batches(steps []Step) {
	var calls errgroup.Group
	calls.SetLimit(batchesAtOnce)
	for some := range slices.Chunk(steps, batchSize) {
		calls.Go(func() error {
			a.batch(some)
			return nil
		})
	}
	_ = calls.Wait() // the steps have their errors
}

func (a *applying) batch(steps []Step) {
	failures, err := a.call(steps)
	var p *api.Problem
	if errors.As(err, &p) && p.Status == http.StatusRequestEntityTooLarge && len(steps) > 1 {
		a.batch(steps[:len(steps)/2])
		a.batch(steps[len(steps)/2:])
		return
	}
	down := len(steps)
	for i := range steps {
		failure := err
		if err == nil {
			failure = failures[i]
		}
		if errors.As(failure, &p) && (p.Status >= http.StatusInternalServerError || p.Status == http.StatusTooManyRequests) {
			down--
		}
		a.end(&steps[i], explained(&steps[i], failure))
	}
	if err == nil && down == 0 {
		a.stop(failures[0])
	}
}

// call makes one call. After its error no more calls are made.
func (a *applying) call(steps []Step) ([]error, error) {
	if err := a.goOn(); err != nil {
		return nil, err
	}
	operations := make([]api.Operation, len(steps))
	for i := range steps {
		operations[i] = steps[i].operation
	}
	failures, err := a.client.Batch(a.ctx, operations)
	var p *api.Problem
	switch isProblem := errors.As(err, &p); {
	case err == nil || isProblem && p.Status == http.StatusRequestEntityTooLarge:
		return failures, err
	case isProblem && p.Status == http.StatusNotFound:
		err = errors.New("the service takes no batches; it is older than this command")
	}
	a.stop(err)
	if a.ctx.Err() != nil {
		err = errors.New("interrupted; it may have been made")
	}
	return nil, err
}

// explained adds to a failure what its status does not say.
func explained(s *Step, err error) error {
	var p *api.Problem
	if s.Kind == kindACL && errors.As(err, &p) && p.Status == http.StatusNotFound {
		return errors.New("its consumer is not there")
	}
	return err
}
