package state

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A batch is the changes that were committed together: one line of the log. Its
// place in the log is its position, from 1.
type batch struct {
	// By is a random name. The writer recognises its batch by it after an answer was
	// lost.
	By string `json:"by"`
	// At is when it was made, in Unix seconds. Only people read it.
	At  int64    `json:"at"`
	Ops []change `json:"ops"`
}

// The operations.
const (
	opPut    = "put"
	opDelete = "delete"
	// opLease says that the call By is about to change the credential of the access
	// token Key, opRelease that it has done so or has given up.
	opLease   = "hold"
	opRelease = "done"
	// opBridge says up to which change the state has what is in format 1, opMirrored
	// that format 1 has a change of the state. opEntry occurs in checkpoints only. See
	// [bridge].
	opBridge   = "bridge"
	opMirrored = "mirrored"
	opEntry    = "entry"
)

type change struct {
	Op   string `json:"op"`
	Kind string `json:"kind,omitempty"`
	ID   string `json:"id,omitempty"`
	// Version of a put is set in checkpoints only; elsewhere the position is the version.
	Version int `json:"version,omitempty"`
	// From is the version of the entry of format 1 that the change was read from.
	From     int             `json:"from,omitempty"`
	Unique   []string        `json:"unique,omitempty"`
	Tags     []string        `json:"tags,omitempty"`
	Document json.RawMessage `json:"document,omitempty"`

	Key string `json:"key,omitempty"`
	By  string `json:"by,omitempty"`
	// Until is when a bridge ends, in Unix seconds; 0 ends it.
	Until int64 `json:"until,omitempty"`
}

func put(r *Record) change {
	return change{Op: opPut, Kind: r.Kind, ID: r.ID, Unique: r.Unique, Tags: r.Tags, Document: r.Document}
}

func decodeBatch(line string) (batch, error) {
	var b batch
	if err := json.Unmarshal([]byte(line), &b); err != nil || b.By == "" {
		return batch{}, errors.New("a line of the log is not a batch of changes")
	}
	for i := range b.Ops {
		if err := b.Ops[i].check(); err != nil {
			return batch{}, err
		}
	}
	return b, nil
}

func (c *change) check() error {
	switch c.Op {
	case opPut:
		r := Record{Kind: c.Kind, ID: c.ID, Document: c.Document, Unique: c.Unique}
		if err := checkRecord(&r); err != nil {
			return fmt.Errorf("a line of the log: %w", err)
		}
	case opDelete, opLease, opRelease, opBridge, opMirrored, opEntry:
	default:
		return fmt.Errorf("a line of the log has the unknown operation %q", c.Op)
	}
	return nil
}
