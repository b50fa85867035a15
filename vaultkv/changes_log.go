package vaultkv

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
)

// CommitWithin is how soon after its announcement a change has to be made, or be
// given up. Replicas look at what a change names for longer than that.
const CommitWithin = 3 * time.Second

const (
	changesPath = "changes"
	// maxLogBytes keeps the log small enough to be read every second, whatever
	// the length of its access tokens. It is far below MaxResponseBytes.
	maxLogBytes = 256 << 10
)

// A ChangesConfig says how the log is kept and followed. Start from
// [DefaultChangesConfig].
type ChangesConfig struct {
	// Interval is how often the log is read, give or take a tenth. Default 1s.
	Interval time.Duration
	// Margin is how much longer than two intervals a replica may show no sign
	// of life before it counts as having been stopped. Default 500ms.
	Margin time.Duration
	// MaxEntries and MaxAge bound the log. Default 1000 and 10m.
	MaxEntries int
	MaxAge     time.Duration
}

// DefaultChangesConfig returns the defaults.
func DefaultChangesConfig() ChangesConfig {
	return ChangesConfig{Interval: time.Second, Margin: 500 * time.Millisecond, MaxEntries: 1000, MaxAge: 10 * time.Minute}
}

// Validate reports every mistake.
func (c *ChangesConfig) Validate() error {
	var errs []error
	if c.Interval < 10*time.Millisecond || c.Interval > time.Minute {
		errs = append(errs, fmt.Errorf("interval: %s is not between 10ms and 1m", c.Interval))
	}
	if c.Margin <= 0 || c.Margin > time.Minute {
		errs = append(errs, fmt.Errorf("margin: %s is not between 0 and 1m", c.Margin))
	}
	if c.MaxEntries < 1 || c.MaxEntries > 10000 {
		errs = append(errs, fmt.Errorf("max_entries: %d is not between 1 and 10000", c.MaxEntries))
	}
	if c.MaxAge < time.Minute {
		errs = append(errs, fmt.Errorf("max_age: %s is less than 1m", c.MaxAge))
	}
	return errors.Join(errs...)
}

// Changes is the log of what is about to change, by which replicas learn what to
// drop. It is one entry of a [Versioned], bounded, and numbered without gaps: who
// finds that the numbers do not go on from where he was has missed something.
//
// A change is logged before it is made. If it were logged after, a crash between
// the two would leave a change that nobody hears of: a revoked credential that
// stays good. So replicas may look too early, and look again; see
// [Changes.Follow].
//
// It is safe for concurrent use.
type Changes struct {
	kv    Versioned
	cfg   ChangesConfig
	log   *zap.Logger
	queue appendQueue
	gate  *gate
}

// NewChanges returns the log in kv.
func NewChanges(kv Versioned, c ChangesConfig, log *zap.Logger) (*Changes, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("changes: %w", err)
	}
	return &Changes{
		kv: kv, cfg: c, log: log, queue: newAppendQueue(), gate: newGate(2*c.Interval + c.Margin),
	}, nil
}

// Announce logs changes and then makes them: commit is called with a context
// that ends in time. Its error is returned. Without the log nothing is made.
func (c *Changes) Announce(ctx context.Context, commit func(context.Context) error, changes ...authz.Change) error {
	logged, err := c.write(ctx, changes)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithDeadline(ctx, logged.Add(CommitWithin))
	defer cancel()
	err = commit(bounded)
	if time.Since(logged) > CommitWithin {
		// Stopped and continued, perhaps: what was made late is told again. The
		// outcome of the change is what counts for the caller.
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
		defer cancel()
		if again := c.Append(late, changes...); again != nil {
			c.log.Warn("a late change was not announced again, other replicas may hold on to what it changed", zap.Error(again))
		}
	}
	return err
}

// Append logs changes that are about to be made, within [CommitWithin]. Its error
// wraps [authz.ErrUnavailable]; they must not be made then.
func (c *Changes) Append(ctx context.Context, changes ...authz.Change) error {
	_, err := c.write(ctx, changes)
	return err
}

// read returns the log, the zero log where there is none. Of a malformed one the
// version is returned beside the error.
func (c *Changes) read(ctx context.Context) (changeLog, int, error) {
	raw, version, found, err := c.kv.ReadVersion(ctx, changesPath)
	if err != nil {
		return changeLog{}, 0, unavailableState(err)
	}
	if !found {
		return changeLog{}, version, nil
	}
	l, err := decodeLog(raw)
	if err != nil {
		return changeLog{}, version, fmt.Errorf("changes: %w: %w; the next change made through the API mends it", authz.ErrMalformed, err)
	}
	return l, version, nil
}

// A changeLog is the entry. The zero changeLog has no entry yet.
type changeLog struct {
	// Epoch is a random name of the log: another one is another log, whatever
	// its numbers.
	Epoch string `json:"epoch"`
	// Last is the number of the newest change. Those before it count down.
	Last    int            `json:"last"`
	Changes []loggedChange `json:"changes"`
}

type loggedChange struct {
	// At is when it was logged, in Unix seconds.
	At    int64  `json:"at"`
	Kind  string `json:"kind"`
	ID    string `json:"id"`
	Vault string `json:"vault,omitempty"`
}

func (l loggedChange) change() authz.Change {
	return authz.Change{Kind: l.Kind, ID: l.ID, Vault: l.Vault}
}

// maxNumber is as far as the numbers that KV v2 keeps are whole.
const maxNumber = 1 << 53

// decodeLog reads the entry.
func decodeLog(raw []byte) (changeLog, error) {
	var l changeLog
	if kind(raw) != kindObject || json.Unmarshal(raw, &l) != nil {
		return changeLog{}, mistake{"", "not a log of changes"}
	}
	if l.Epoch == "" {
		return changeLog{}, mistake{"epoch", "missing"}
	}
	if l.Last < len(l.Changes) || l.Last > maxNumber {
		return changeLog{}, mistake{"last", "is no number of a last change"}
	}
	return l, nil
}

// first is the number of the oldest change, or of the next one if there is none.
func (l *changeLog) first() int { return l.Last - len(l.Changes) + 1 }

func (l *changeLog) add(changes []authz.Change, now time.Time) {
	if l.Epoch == "" {
		l.Epoch = rand.Text()
	}
	for _, ch := range changes {
		l.Changes = append(l.Changes, loggedChange{At: now.Unix(), Kind: ch.Kind, ID: ch.ID, Vault: ch.Vault})
	}
	l.Last += len(changes)
}

// compact drops the oldest changes. Who has not seen them will find out.
func (l *changeLog) compact(entries int, oldest time.Time) {
	keep, size := len(l.Changes), 0
	for keep > 0 && len(l.Changes)-keep < entries {
		ch := l.Changes[keep-1]
		size += 64 + len(ch.Kind) + len(ch.ID) + len(ch.Vault)
		if size > maxLogBytes || ch.At < oldest.Unix() {
			break
		}
		keep--
	}
	l.Changes = l.Changes[keep:]
}

// after returns what came after a change of an epoch. ok is false if that cannot
// be told.
func (l *changeLog) after(epoch string, last int) (fresh []loggedChange, ok bool) {
	switch {
	case epoch == "" && l.first() == 1:
		// There was no log, and this one is whole.
		return l.Changes, true
	case l.Epoch != epoch, l.Last < last, l.first() > last+1:
		return nil, false
	}
	return l.Changes[last+1-l.first():], true
}

// jitter returns d with up to spread more.
func jitter(d, spread time.Duration) time.Duration {
	var raw [8]byte
	_, _ = rand.Read(raw[:])
	return d + time.Duration(binary.BigEndian.Uint64(raw[:])%uint64(spread+1)) //nolint:gosec // spread is not negative, and the rest is below it
}
