package state

import "context"

// An Engine keeps JSON objects under paths of plain segments, such as log/07, and
// counts the writes of each. It is safe for concurrent use. Its methods are made of
// predeclared types only, so that an engine can be written without importing this
// package, and its errors contain neither paths nor values.
//
// There is no deletion: it would start the count again, so that a version seen long
// ago would fit once more.
type Engine interface {
	// ReadVersion returns the object at path and its version. Where there is
	// none, found is false, and version is what WriteVersion has to be given
	// all the same: more than 0 after a deletion by hand. What is read may be
	// out of date, but not older than the last Sync.
	ReadVersion(ctx context.Context, path string) (document []byte, version int, found bool, err error)
	// WriteVersion writes if the version is still cas, which is 0 where there
	// has never been an object. ok is true only if it was written over that
	// version. A refusal (false) may come from a node that is out of date; then
	// this write has not happened and will not. After an error it may have, or
	// may yet.
	WriteVersion(ctx context.Context, path string, document []byte, cas int) (version int, ok bool, err error)
	// ListUnder returns the last segments of the paths directly under folder,
	// in no particular order. Those of deleted objects may be among them.
	ListUnder(ctx context.Context, folder string) (names []string, err error)
	// Sync returns nil if every later read, through this engine or another one
	// of the same cluster, shows at least what had been acknowledged to anyone
	// before Sync was called.
	Sync(ctx context.Context) error
}
