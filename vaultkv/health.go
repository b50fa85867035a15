package vaultkv

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// A State is what the last answer, or the lack of one, says about a vault object. The set
// is closed: it labels metrics.
type State uint8

// The states. Credentials are read in StateOK only.
const (
	// StateUnknown: not contacted yet.
	StateUnknown State = iota
	StateOK
	// StateSealed: the server must be unsealed.
	StateSealed
	// StateUnreachable: no connection, or no answer in time.
	StateUnreachable
	// StateTokenRejected: the server does not accept our token.
	StateTokenRejected
	// StateForbidden: the server accepts our token, and its policies deny what we need.
	StateForbidden
	// StateNoMount: there is no KV engine at the mount.
	StateNoMount
	// StateWrongVersion: the KV engine at the mount is of the other version.
	StateWrongVersion
	// StateLimited: the server answered 429, a quota or rate limit.
	StateLimited
	// StateLoginRefused: the server refuses the login, or a file that the login needs is
	// missing.
	StateLoginRefused
	// StateFailing: every other failure.
	StateFailing
	// StateNotCurrent: the server answers, but may be stale.
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

// States returns every state, for the labels of metrics.
func States() []State {
	all := make([]State, stateCount)
	for i := range all {
		all[i] = State(i)
	}
	return all
}

// reasonInterval is the least time between two lines with the same reason in the same
// state, unless a line in between said that all is well.
const reasonInterval = 5 * time.Minute

// recoveryBurst is how many lines in a row may say that all is well; further ones come one
// for each reasonInterval. While a policy covers only some of the paths, each answer
// changes the state: the last line then says what is wrong.
const recoveryBurst = 4

// maxReasons bounds how many reasons are remembered. It is not reached in practice.
const maxReasons = 64

// health holds the state and logs its changes. A failing server may fail in
// several ways by turns, so each reason is logged once in a while.
type health struct {
	log        *zap.Logger
	recoveries *rate.Limiter
	// ready is set once the server has accepted our token, and stays set.
	ready atomic.Bool
	state atomic.Uint32

	mu      sync.Mutex
	problem *Error
	// logged is the state in the last line.
	logged State
	// reasons are the reasons that were logged since the last line with StateOK, and when.
	reasons map[stateReason]time.Time
}

type stateReason struct {
	state  State
	reason string
}

func newHealth(log *zap.Logger) *health {
	return &health{log: log, recoveries: rate.NewLimiter(rate.Every(reasonInterval), recoveryBurst)}
}

func (h *health) current() State { return State(h.state.Load()) } //nolint:gosec // only states are stored

// succeeded records an answer to a read or a write.
func (h *health) succeeded() {
	h.ready.Store(true)
	if h.current() != StateOK {
		h.become(&Error{State: StateOK})
	}
}

// failed records what a failure says about the server.
func (h *health) failed(p *Error) {
	if p.State == StateForbidden || p.State == StateOK {
		h.ready.Store(true)
	}
	h.become(p)
}

func (h *health) become(p *Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Store(uint32(p.State))
	h.problem = p
	h.report()
}

// last is the failure or success that the state comes from, nil before the first answer.
func (h *health) last() *Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.problem
}

// logPending logs a change that was not logged because there had been too many, and a reason
// that has lasted.
func (h *health) logPending() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.report()
}

// report logs the state unless it has been logged already or lately. The caller holds mu.
func (h *health) report() {
	s, p := h.current(), h.problem
	if p == nil {
		return
	}
	now, reason := time.Now(), stateReason{s, p.reason()}
	if s == StateOK {
		if h.logged == s || !h.recoveries.Allow() {
			return
		}
	} else if at, is := h.reasons[reason]; is && now.Sub(at) < reasonInterval {
		return
	}
	fields := []zap.Field{zap.Stringer("state", s), zap.Stringer("was", h.logged)}
	h.logged = s
	if s == StateOK || h.reasons == nil || len(h.reasons) >= maxReasons {
		h.reasons = map[stateReason]time.Time{}
	}
	if s == StateOK {
		h.log.Info("vault state changed", fields...)
		return
	}
	h.reasons[reason] = now
	h.log.Warn("vault state changed", append(fields, zap.String("detail", p.Error()))...)
}
