package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

// The words of the records and of what changes.
type (
	// Record is never changed while it is in a [View]; its Version is the position of
	// its last change.
	Record = authz.Record
	// Change names an entity or a credential.
	Change = authz.Change
	// TakenError says which unique key belongs to another record.
	TakenError = authz.TakenError
)

// The kinds.
const (
	KindConsumers   = authz.KindConsumers
	KindACLs        = authz.KindACLs
	KindVaults      = authz.KindVaults
	KindPolicies    = authz.KindPolicies
	KindCredentials = authz.KindCredentials
)

// ErrConflict says that the record is not the one that the writer saw.
var ErrConflict = authz.ErrConflict

// MaxDocument is the size in bytes of the largest document of a record. All of a
// record has to fit into one line of the log.
const MaxDocument = 128 << 10

func checkRecord(r *Record) error {
	switch {
	case !isWord(r.Kind):
		return fmt.Errorf("%q is not a kind of records", r.Kind)
	case !authz.IsUUID(r.ID):
		return fmt.Errorf("record id %q is not a lower-case UUID", r.ID)
	case len(r.Document) == 0 || r.Document[0] != '{' || !json.Valid(r.Document):
		return errors.New("the document of the record is not a JSON object")
	case len(r.Document) > MaxDocument:
		return fmt.Errorf("the %s would take %d bytes in the state store, more than the %d that fit; divide it", r.Kind, len(r.Document), MaxDocument)
	}
	for _, key := range r.Unique {
		if key == "" {
			return errors.New("a unique key of the record is empty")
		}
	}
	return nil
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-") == ""
}

// unavailable wraps every error of an [Engine]: whatever it says, nothing is known
// of what was asked for.
func unavailable(err error) error {
	if errors.Is(err, authz.ErrUnavailable) {
		return fmt.Errorf("state store: %w", err)
	}
	if errors.Is(err, authz.ErrNotFound) || errors.Is(err, authz.ErrMalformed) {
		return fmt.Errorf("state store: %w: %s", authz.ErrUnavailable, err.Error())
	}
	return fmt.Errorf("state store: %w: %w", authz.ErrUnavailable, err)
}
