package authz

import (
	"errors"
	"fmt"
)

// A Record is one entity of the state (a consumer, an acl group, a vault object,
// a policy) as a store keeps it. The store knows nothing of its document.
type Record struct {
	// Kind is the plural name of the entity, ID its lower-case UUID.
	Kind, ID string
	// Version is what a later write must name, so that nobody overwrites what
	// they have not seen. 0: the record does not exist yet.
	Version int
	// Document is a JSON object.
	Document []byte
	// Unique lists the keys that no other record of the kind may have, such as
	// "username=alice".
	Unique []string
	// Tags are words to find the record by.
	Tags []string
}

// A Change says what was, or is about to be, changed. It names an entity, or a
// credential of a vault object.
type Change struct {
	// Kind and ID name an entity. For a credential, Kind is [KindCredentials]
	// and ID the access token, and Vault is the id of the vault object.
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

// ErrConflict says that the record is not the one that the writer saw.
var ErrConflict = errors.New("the record was changed by somebody else, read it again")

// A TakenError says which unique key belongs to another record.
type TakenError struct{ Key string }

// Error implements error.
func (e TakenError) Error() string { return fmt.Sprintf("%q belongs to another record", e.Key) }
