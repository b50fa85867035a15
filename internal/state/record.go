package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

// A Record is one entity (a consumer, an acl group, a vault object, a policy) as it is
// stored. Its document means nothing to this package. A Record that is in a [View]
// never changes.
type Record struct {
	// Kind is the plural name of the entity, ID its lower-case UUID.
	Kind, ID string
	// Version is the position of the last change of the record. A later write names
	// it, so that it overwrites only what its writer has seen. 0 means that the
	// record does not exist yet.
	Version int
	// Document is a JSON object.
	Document []byte
	// Unique lists keys that no other record of the kind may have, such as
	// "username=alice".
	Unique []string
	// Tags are words to find the record by.
	Tags []string
}

// A Change names what was changed, or is about to be: an entity, or a credential of a
// vault object.
type Change struct {
	// Kind and ID name an entity. For a credential, Kind is [KindCredentials], ID the
	// access token, and Vault the id of the vault object.
	Kind, ID, Vault string
}

// The kinds.
const (
	KindConsumers   = "consumers"
	KindACLs        = "acls"
	KindVaults      = "vaults"
	KindPolicies    = "policies"
	KindCredentials = "credentials"
)

// ErrConflict means that the record has changed since the writer read it.
var ErrConflict = errors.New("the record has changed since it was read; read it again")

// A TakenError names a unique key that belongs to another record.
type TakenError struct{ Key string }

// Error implements error.
func (e TakenError) Error() string { return fmt.Sprintf("%q belongs to another record", e.Key) }

// maxDocument is the size in bytes of the largest document of a record. A whole record has
// to fit into one line of the log.
const maxDocument = 128 << 10

func checkRecord(r *Record) error {
	switch {
	case !isWord(r.Kind):
		return fmt.Errorf("%q is not a kind of record", r.Kind)
	case !authz.IsUUID(r.ID):
		return fmt.Errorf("record id %q is not a lower-case UUID", r.ID)
	case len(r.Document) == 0 || r.Document[0] != '{' || !json.Valid(r.Document):
		return errors.New("the document of the record is not a JSON object")
	case len(r.Document) > maxDocument:
		return fmt.Errorf("%w: this entity of %s takes %d bytes, more than the limit of %d; divide it", ErrTooLarge, r.Kind, len(r.Document), maxDocument)
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

// unavailable wraps every error of an [Engine] in [authz.ErrUnavailable]. Even a "not
// found" of the engine must not look like the answer to a caller's question.
func unavailable(err error) error {
	if errors.Is(err, authz.ErrUnavailable) {
		return fmt.Errorf("state store: %w", err)
	}
	if errors.Is(err, authz.ErrNotFound) || errors.Is(err, authz.ErrMalformed) {
		return fmt.Errorf("state store: %w: %s", authz.ErrUnavailable, err.Error())
	}
	return fmt.Errorf("state store: %w: %w", authz.ErrUnavailable, err)
}
