package vaultkv

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

// A recordEntry is what lies at the path of a record. The zero entry is none.
type recordEntry struct {
	// Document is the record's own. Vault keeps its members, not its bytes.
	Document json.RawMessage `json:"document,omitempty"`
	Unique   []string        `json:"unique,omitempty"`
	// Deleted makes a tombstone: an entry without a record.
	Deleted   bool      `json:"deleted,omitempty"`
	WrittenAt time.Time `json:"written_at"`
	// Attempt is a random name of the write that made this. Who does not know
	// whether his write happened can tell by it.
	Attempt string `json:"attempt"`
	// Fences is how often the entry has been written again as it was.
	Fences int `json:"fences,omitempty"`

	version int
}

func newEntry(document []byte, unique []string) recordEntry {
	return recordEntry{Document: document, Unique: unique, WrittenAt: time.Now().UTC(), Attempt: rand.Text()}
}

func newTombstone() recordEntry {
	return recordEntry{Deleted: true, WrittenAt: time.Now().UTC(), Attempt: rand.Text()}
}

// decodeEntry reads what is at the path of a record.
func decodeEntry(raw []byte) (recordEntry, error) {
	var e recordEntry
	if kind(raw) != kindObject || json.Unmarshal(raw, &e) != nil {
		return recordEntry{}, mistake{"", "not an entry of the state store"}
	}
	if e.Deleted {
		e.Document, e.Unique = nil, nil
		return e, nil
	}
	if k := kind(e.Document); k != kindObject {
		return recordEntry{}, mistake{"document", "is " + k + ", must be a JSON object"}
	}
	if e.Fences < 0 {
		return recordEntry{}, mistake{"fences", "less than 0"}
	}
	e.Document = bytes.Clone(e.Document)
	return e, nil
}

func (e *recordEntry) live() bool { return len(e.Document) > 0 }

// seenAt says whether version showed the record as it still is: fences count as
// versions and change nothing.
func (e *recordEntry) seenAt(version int) bool {
	return version <= e.version && version >= e.version-e.Fences
}

func (e *recordEntry) record(kind, id string) authz.Record {
	return authz.Record{Kind: kind, ID: id, Version: e.version, Document: e.Document, Unique: e.Unique}
}

// fenced is the entry to write over e by who only wants its version gone.
func (e *recordEntry) fenced() recordEntry {
	if !e.live() {
		return newTombstone()
	}
	again := *e
	again.Fences++
	return again
}

// A keyClaim says which record has a unique key, or is about to.
type keyClaim struct {
	// Key is there for people: the path has only its digest.
	Key string `json:"key,omitempty"`
	// ID is the record, "" for nobody.
	ID string `json:"id,omitempty"`
	// Base is the version that the record had before the claim.
	Base      int       `json:"base,omitempty"`
	ClaimedAt time.Time `json:"claimed_at"`
}

func (c *keyClaim) free() bool { return c.ID == "" }

// decodeClaim reads the claim of key.
func decodeClaim(raw []byte, key string) (keyClaim, error) {
	var c keyClaim
	if kind(raw) != kindObject || json.Unmarshal(raw, &c) != nil {
		return keyClaim{}, mistake{"", "not a claim of the state store"}
	}
	switch {
	case c.free():
	case !authz.IsUUID(c.ID):
		return keyClaim{}, mistake{"id", "not a UUID"}
	case c.Key != key:
		return keyClaim{}, mistake{"key", "differs from the one that the claim is stored under"}
	case c.Base < 0:
		return keyClaim{}, mistake{"base", "less than 0"}
	}
	return c, nil
}

// claimPath hides that keys may hold any characters.
func claimPath(kind, key string) string {
	digest := sha256.Sum256([]byte(key))
	return uniqueFolder + "/" + kind + "/" + hex.EncodeToString(digest[:])
}
