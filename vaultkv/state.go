package vaultkv

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// A State is what is known of a vault object from the last answer, or the lack
// of one. The set is closed: it labels metrics.
type State uint8

// The states. Only in StateOK are credentials read.
const (
	// StateUnknown: not contacted yet.
	StateUnknown State = iota
	StateOK
	// StateSealed: the server must be unsealed.
	StateSealed
	// StateUnreachable: no connection, or no answer in time.
	StateUnreachable
	// StateTokenRejected: the server does not take our token.
	StateTokenRejected
	// StateForbidden: the server takes our token, and its policies do not let
	// it do what we need.
	StateForbidden
	// StateNoMount: there is no KV engine at the mount.
	StateNoMount
	// StateWrongVersion: the KV engine at the mount is of the other version.
	StateWrongVersion
	// StateLimited: the server answered 429, a quota or rate limit.
	StateLimited
	// StateLoginRefused: the server does not let us log in, or what the login
	// needs is not there.
	StateLoginRefused
	// StateFailing: every other answer that does not tell.
	StateFailing
	// StateNotCurrent: the server answers, and is not known to be current.
	StateNotCurrent

	stateCount
)

// String returns the state's name in logs and metrics.
func (s State) String() string {
	names := [stateCount]string{
		StateUnknown: "unknown", StateOK: "ok", StateSealed: "sealed", StateUnreachable: "unreachable",
		StateTokenRejected: "token_rejected", StateForbidden: "forbidden", StateNoMount: "no_mount",
		StateWrongVersion: "wrong_version", StateLimited: "limited", StateLoginRefused: "login_refused", StateFailing: "failing",
		StateNotCurrent: "not_current",
	}
	if s >= stateCount {
		return names[StateUnknown]
	}
	return names[s]
}

// States returns every state, for those who label something with them.
func States() []State {
	all := make([]State, stateCount)
	for i := range all {
		all[i] = State(i)
	}
	return all
}

// Lines about the state: a burst for real changes, then a trickle. A policy that
// covers some credentials and not others would change the state at each read.
const (
	stateLineBurst    = 10
	stateLineInterval = 10 * time.Second
)

// reasonInterval is how often a reason is told again that comes and goes with
// others while the state stays.
const reasonInterval = 5 * time.Minute

// maxReasons bounds how many reasons are remembered. There are fewer.
const maxReasons = 64

// health follows the state and writes one log line per change of it, and one for
// each new reason for it: a server that is failing does so in many ways by turns.
type health struct {
	log   *zap.Logger
	lines *rate.Limiter
	// ready is set by the first proof that the server takes our token, and
	// stays.
	ready atomic.Bool
	state atomic.Uint32

	mu      sync.Mutex
	problem *Error
	// logged is the state that the last line said.
	logged State
	// told are the reasons for it that have been logged, and when.
	told map[string]time.Time
}

func newHealth(log *zap.Logger) *health {
	return &health{log: log, lines: rate.NewLimiter(rate.Every(stateLineInterval), stateLineBurst)}
}

func (h *health) current() State { return State(h.state.Load()) } //nolint:gosec // only states are stored

// set records the state after an answer. detail is for the operator.
func (h *health) set(s State, detail string) { h.learn(&Error{State: s, detail: detail}) }

// learn records what a failure says of the server.
func (h *health) learn(p *Error) {
	s := p.State
	if s == StateOK || s == StateForbidden {
		h.ready.Store(true)
	}
	if s == StateOK && h.current() == s {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Store(uint32(s))
	h.problem = p
	h.report()
}

// last is the last failure or proof that the state comes from, nil for none.
func (h *health) last() *Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.problem
}

// catchUp logs a change that came when there had been too many of them.
func (h *health) catchUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.report()
}

// report logs the state unless that has been done, or done too often. The
// caller holds mu.
func (h *health) report() {
	s, p := h.current(), h.problem
	if p == nil {
		return
	}
	now := time.Now()
	if at, is := h.told[p.reason()]; s == h.logged && (s == StateOK || is && now.Sub(at) < reasonInterval) || !h.lines.Allow() {
		return
	}
	fields := []zap.Field{zap.Stringer("state", s), zap.Stringer("was", h.logged)}
	if s != h.logged || len(h.told) >= maxReasons {
		h.told = map[string]time.Time{}
	}
	h.logged = s
	h.told[p.reason()] = now
	if s == StateOK {
		h.log.Info("vault state changed", fields...)
		return
	}
	h.log.Warn("vault state changed", append(fields, zap.String("detail", p.Error()))...)
}
