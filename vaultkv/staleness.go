package vaultkv

import "context"

// notCurrent returns an error while the server answers but may be stale, so that no
// credential may be read. It returns nil for the engine of the state, whose syncs are the
// proof.
func (v *Vault) notCurrent() *Error {
	if v.shared || v.conn.cluster.Load().current() {
		return nil
	}
	return fail(StateNotCurrent, 0, "the server at %s may not have the latest changes: for more than %s the state store could not prove that the server reaches the active node of its cluster; "+
		"see why the state fails, look for a node without a leader, and add the other nodes to addresses", v.cfg.Address, v.conn.cluster.Load().proofAge)
}

// record records the outcome of a request, nil for a success.
func (v *Vault) record(problem *Error) {
	if problem == nil {
		problem = v.notCurrent()
	}
	switch {
	case problem == nil:
		v.health.succeeded()
	case !problem.inconclusive:
		v.health.failed(problem)
	}
}

// confirmAbsent makes sure that there is no object under a key. A standby may lack what
// was written a moment ago; so unless the active node has answered, the key is read again
// after a sync.
func (v *Vault) confirmAbsent(ctx context.Context, key string, from *endpoint) (document []byte, problem *Error) {
	s := v.conn.cluster.Load().confirmer()
	if s == nil || v.conn.knownActive(from) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	if cause := s.confirmations.join(ctx); cause != nil {
		problem = fail(StateNotCurrent, 0, "a standby has no such record, and it is not known whether the active node has: %s", cause.Error())
		problem.cause, problem.inconclusive = cause.cause, true
		return nil, problem
	}
	document, _, problem = v.read(ctx, key)
	return document, problem
}
