package state

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/authz"
)

const checkpointPath = "checkpoint"

const (
	// pieceBytes is about how many bytes of records go into one piece, before
	// compression, and maxPiece bounds a piece after it.
	pieceBytes = 512 << 10
	maxPiece   = 4 << 20
	// pieceRequests is how many pieces are read or written at a time.
	pieceRequests = 4
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

func piecePath(set string, i int) string { return fmt.Sprintf("checkpoint-%s/%04d", set, i) }

// A piece holds some of the records, or the leases.
type piece struct {
	Format int    `json:"format"`
	By     string `json:"by"`
	Number int    `json:"piece"`
	// Records is what [pack] makes of lines. Each line is a change.
	Records string `json:"records"`
}

// pack compresses text into a string that JSON does not have to escape.
func pack(text []byte) (string, error) {
	var out strings.Builder
	encoder := base64.NewEncoder(base64.StdEncoding, &out)
	// Checkpoints are written during floods of changes, so compression has to be quick.
	w, err := gzip.NewWriterLevel(encoder, gzip.BestSpeed)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(text); err != nil {
		return "", err
	}
	if err := errors.Join(w.Close(), encoder.Close()); err != nil {
		return "", err
	}
	return out.String(), nil
}

func unpack(s string) ([]byte, error) {
	r, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(s)))
	if err != nil {
		return nil, err
	}
	text := bytes.NewBuffer(make([]byte, 0, pieceBytes+pieceBytes/8))
	n, err := text.ReadFrom(io.LimitReader(r, maxPiece+1))
	if err == nil && n > maxPiece {
		err = errors.New("a piece of a checkpoint is too large")
	}
	return text.Bytes(), err
}

// A pieceRange says what goes into one piece:
//   - with kind: the next n records of the kind after the id after
//   - with bridge: the next n entries of the bridge, from a key on
//   - with neither: the leases
type pieceRange struct {
	kind, after string
	n           int
	bridge      bool
}

// pieceRanges divides the view. The pieces are encoded one by one later: all of them would
// take as much memory as the records.
func (v *View) pieceRanges() []pieceRange {
	all := v.bridge.pieceRanges()
	for _, kind := range slices.Sorted(maps.Keys(v.records)) {
		now, size := pieceRange{kind: kind}, 0
		v.records[kind].Scan(func(key string, p packed) bool {
			now.n++
			if size += p.size(); size >= pieceBytes {
				all = append(all, now)
				now, size = pieceRange{kind: kind, after: idText(key)}, 0
			}
			return true
		})
		if now.n > 0 {
			all = append(all, now)
		}
	}
	if len(v.leases) > 0 {
		all = append(all, pieceRange{})
	}
	return all
}

// piece encodes the piece of a range.
func (v *View) piece(c pieceRange, by string, number int) (piece, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	var problem error
	if c.bridge {
		problem = v.bridge.encode(encoder, c)
	} else if c.kind == "" {
		for key, l := range v.leases {
			problem = errors.Join(problem, encoder.Encode(&change{Op: opLease, Key: key, By: l.by}))
		}
	} else {
		left := c.n
		v.After(c.kind, c.after, func(r *Record) bool {
			one := put(r)
			one.Version = r.Version
			problem = encoder.Encode(&one)
			left--
			return problem == nil && left > 0
		})
	}
	if problem != nil {
		return piece{}, problem
	}
	records, err := pack(text.Bytes())
	return piece{Format: format, By: by, Number: number, Records: records}, err
}

// read adds the records of a piece to the view.
func (v *View) read(p *piece, now time.Time) error {
	text, err := unpack(p.Records)
	if err != nil {
		return fmt.Errorf("%w: a piece of the checkpoint: %w", authz.ErrMalformed, err)
	}
	for line := range bytes.Lines(text) {
		var c change
		if err := json.Unmarshal(line, &c); err != nil {
			return fmt.Errorf("%w: a piece of the checkpoint: a record is not JSON", authz.ErrMalformed)
		}
		if err := c.check(); err != nil {
			return fmt.Errorf("%w: a piece of the checkpoint: %w", authz.ErrMalformed, err)
		}
		v.apply(&batch{Ops: []change{c}}, v.position, now)
	}
	v.changed = v.position
	return nil
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

func writeEntry(ctx context.Context, kv Engine, path string, entry any, cas int) (version int, ok bool, err error) {
	raw, err := encode(entry)
	if err != nil {
		return 0, false, err
	}
	return kv.WriteVersion(ctx, path, raw, cas)
}

func encode(entry any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(entry); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// loadView reads the pieces of a checkpoint, a few at a time: all of them would take as
// much memory as their records. Its error is errBehind if there is a newer checkpoint.
func loadView(ctx context.Context, kv Engine, c *checkpoint, now time.Time) (*View, error) {
	v := newView()
	v.position = c.Position
	for first := 0; first < c.Pieces; first += pieceRequests {
		pieces := make([]piece, min(pieceRequests, c.Pieces-first))
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

// pieceAttempts is how often a piece is requested: one of hundreds of requests to a busy
// server may fail.
const pieceAttempts = 3

func readPiece(ctx context.Context, kv Engine, c *checkpoint, i int, p *piece) error {
	var raw []byte
	var found bool
	var err error
	for range pieceAttempts {
		if raw, _, found, err = kv.ReadVersion(ctx, piecePath(c.Set, i)); err == nil {
			break
		}
	}
	if err != nil {
		return unavailable(err)
	}
	if !found {
		return errBehind
	}
	if err := decode(raw, p); err != nil {
		return fmt.Errorf("checkpoint: piece %d: %w", i, err)
	}
	if p.By != c.By || p.Number != i {
		return errBehind
	}
	return nil
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

// eachOf calls do for 0 to n-1, a few at a time, and returns the errors of all joined.
func eachOf(ctx context.Context, n int, do func(context.Context, int) error) error {
	errs := make([]error, n)
	_ = each(ctx, n, func(ctx context.Context, i int) error {
		errs[i] = do(ctx, i)
		return nil
	})
	return errors.Join(errs...)
}

// each calls do for 0 to n-1, a few at a time, until one of them fails.
func each(ctx context.Context, n int, do func(context.Context, int) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(pieceRequests)
	for i := range n {
		g.Go(func() error { return do(gctx, i) })
	}
	return g.Wait()
}
