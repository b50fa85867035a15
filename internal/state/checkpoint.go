package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

const checkpointPath = "checkpoint"

const (
	// checkpointPatience is how long a replica waits for a checkpoint that another one
	// has begun, by its own clock, before it writes one itself.
	checkpointPatience = 30 * time.Second
	// checkpointTimeout bounds the writing of a checkpoint.
	checkpointTimeout = 2 * time.Minute
)

// A checkpoint is the entry that says where the pieces are that hold all records at one
// position.
type checkpoint struct {
	Format int    `json:"format"`
	Log    string `json:"log"`
	// Position is that of the last change in it. Segment is the number of the segment
	// that holds the next change, or is going to.
	Position int `json:"position"`
	Segment  int `json:"segment"`
	// Set is "a" or "b", Pieces how many there are, and By is in each of them.
	Set    string `json:"set"`
	Pieces int    `json:"pieces"`
	By     string `json:"by,omitempty"`
	// Writing is the random name of the writer that is writing the other set, or empty.
	Writing string `json:"writing,omitempty"`
	// Moving says that the first checkpoint is still being made of what is in format 1.
	Moving bool `json:"moving,omitempty"`
}

// readCheckpoint returns the checkpoint, and the version of its entry for a later write.
func readCheckpoint(ctx context.Context, kv Engine) (c checkpoint, version int, found bool, err error) {
	raw, version, found, err := kv.ReadVersion(ctx, checkpointPath)
	if err != nil || !found {
		return checkpoint{}, version, false, err
	}
	if err := decode(raw, &c); err != nil {
		return checkpoint{}, version, true, fmt.Errorf("checkpoint: %w", err)
	}
	if c.Log == "" || c.Position < 0 || c.Segment < 0 || c.Pieces < 0 || c.Set != "a" && c.Set != "b" {
		return checkpoint{}, version, true, fmt.Errorf("checkpoint: %w: not a checkpoint", authz.ErrMalformed)
	}
	return c, version, true, nil
}

// loadView reads the pieces of a checkpoint, a few at a time: all of them would take as
// much memory as their records. Its error is errBehind if there is a newer checkpoint.
func loadView(ctx context.Context, kv Engine, c *checkpoint, now time.Time) (*View, error) {
	v := newView()
	v.position = c.Position
	for first := 0; first < c.Pieces; first += entryRequests {
		pieces := make([]piece, min(entryRequests, c.Pieces-first))
		err := each(ctx, len(pieces), func(ctx context.Context, i int) error {
			return readPiece(ctx, kv, c, first+i, &pieces[i])
		})
		if err != nil {
			return nil, err
		}
		for i := range pieces {
			if err := v.read(&pieces[i], now); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// errBusy means that another replica is writing a checkpoint, or was faster.
var errBusy = errors.New("another replica is writing a checkpoint of the state")

// takeCheckpoint writes a checkpoint of the view of a log, whose next change goes into
// segment number. over is the name of a writer that has taken too long, or empty.
//
// The writer reads the versions of the pieces before it announces itself by writing the
// entry. If another writer takes over, it announces itself after that. Then each piece is
// written by one of the two only: the write that comes later fails.
func takeCheckpoint(ctx context.Context, kv Engine, log string, v *View, number int, over string) (checkpoint, error) {
	before, version, found, err := readCheckpoint(ctx, kv)
	switch {
	case err != nil:
		return checkpoint{}, err
	case !found, before.Moving, before.Log != log:
		return checkpoint{}, errBehind
	case before.Position >= v.position && before.Segment >= number:
		return before, nil
	case before.Writing != "" && before.Writing != over:
		return checkpoint{}, busy{before.Writing}
	}
	return writeCheckpoint(ctx, kv, v, number, before, version)
}

// writeCheckpoint writes the pieces of the view into the set that the checkpoint before
// does not use, and then the entry, whose version is given.
func writeCheckpoint(ctx context.Context, kv Engine, v *View, number int, before checkpoint, version int) (checkpoint, error) {
	after := checkpoint{Format: format, Log: before.Log, Position: v.position, Segment: number, Set: otherSet(before.Set), By: rand.Text()}
	pieceRanges := v.pieceRanges()
	after.Pieces = len(pieceRanges)
	versions := make([]int, len(pieceRanges))
	if err := each(ctx, len(pieceRanges), func(ctx context.Context, i int) error {
		var err error
		_, versions[i], _, err = kv.ReadVersion(ctx, piecePath(after.Set, i))
		return err
	}); err != nil {
		return checkpoint{}, err
	}
	before.Writing = after.By
	version, ok, err := writeEntry(ctx, kv, checkpointPath, before, version)
	if err != nil || !ok {
		return checkpoint{}, orBusy(err)
	}
	if err := each(ctx, len(pieceRanges), func(ctx context.Context, i int) error {
		p, err := v.piece(pieceRanges[i], after.By, i)
		if err != nil {
			return err
		}
		_, ok, err := writeEntry(ctx, kv, piecePath(after.Set, i), p, versions[i])
		if err != nil || !ok {
			return orBusy(err)
		}
		return nil
	}); err != nil {
		return checkpoint{}, err
	}
	if _, ok, err = writeEntry(ctx, kv, checkpointPath, after, version); err != nil || !ok {
		return checkpoint{}, orBusy(err)
	}
	return after, nil
}

// busy is errBusy with the name of the writer.
type busy struct{ by string }

func (busy) Error() string { return errBusy.Error() }

func (busy) Unwrap() error { return errBusy }

func orBusy(err error) error {
	if err == nil {
		return errBusy
	}
	return err
}

func otherSet(set string) string {
	if set == "a" {
		return "b"
	}
	return "a"
}
