package state

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

const (
	// pieceBytes is about how many bytes of records go into one piece, before
	// compression, and maxPiece bounds a piece after it.
	pieceBytes = 512 << 10
	maxPiece   = 4 << 20
)

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
