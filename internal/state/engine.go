package state

import "context"

// An Engine keeps JSON objects under paths of plain segments, such as log/07, and
// counts the writes of each. It is safe for concurrent use. Its methods have predeclared
// types only, so an engine need not import this package. Its errors contain neither paths
// nor values.
//
// An engine cannot delete: a deletion would start the count again, and a write that names
// a version from before it would succeed.
type Engine interface {
	// ReadVersion returns the object at path and its version. If there is no object,
	// found is false, and version is still the one to give to WriteVersion: more than 0
	// after a deletion by hand. The object may be out of date, but not older than the
	// last Sync.
	ReadVersion(ctx context.Context, path string) (document []byte, version int, found bool, err error)
	// WriteVersion writes if the version is still cas, which is 0 where there has never
	// been an object. ok is true only if it wrote over that version. A refusal (false)
	// may come from a node that is out of date; this write has not happened then, and
	// will not. After an error it may have happened, or may happen yet.
	WriteVersion(ctx context.Context, path string, document []byte, cas int) (version int, ok bool, err error)
	// ListUnder returns the last segments of the paths directly under folder,
	// in no particular order. Those of deleted objects may be among them.
	ListUnder(ctx context.Context, folder string) (names []string, err error)
	// Sync returns nil if every later read, through this engine or another one
	// of the same cluster, shows at least what had been acknowledged to any client
	// before Sync was called.
	Sync(ctx context.Context) error
}
