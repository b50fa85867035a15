package vaultkv

import "context"

// notCurrent explains why credentials are not read although the server answers,
// nil if they are. The engine of the state is exempt: it is what finds out.
func (v *Vault) notCurrent() *Error {
	if v.guest || v.conn.cluster.Load().current() {
		return nil
	}
	return fail(StateNotCurrent, 0, "the server at %s may not know the latest changes: for more than %s the state store could not show that the server reaches the active node of its cluster; "+
		"see why the state fails, look for a node without a leader, and add the other nodes to addresses", v.cfg.Address, v.conn.cluster.Load().proofAge)
}

// learn takes note of what became of a request, nil for success.
func (v *Vault) learn(problem *Error) {
	if problem == nil {
		problem = v.notCurrent()
	}
	switch {
	case problem == nil:
		v.health.set(StateOK, "")
	case !problem.aside:
		v.health.learn(problem)
	}
}

// confirmAbsent makes sure that there is nothing under a key. A standby may not
// have what was written a moment ago; so unless the active node said so, it is
// asked again after a sync.
func (v *Vault) confirmAbsent(ctx context.Context, key string, from *endpoint) (document []byte, problem *Error) {
	s := v.conn.cluster.Load().doubtful()
	if s == nil || v.conn.knownActive(from) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	if cause := s.confirmations.join(ctx); cause != nil {
		problem = fail(StateNotCurrent, 0, "a standby has no such record, and it is not known whether the active node has: %s", cause.Error())
		problem.cause, problem.aside = cause.cause, true
		return nil, problem
	}
	document, _, problem = v.read(ctx, key)
	return document, problem
}
