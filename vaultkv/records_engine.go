package vaultkv

import "context"

// A Versioned keeps JSON objects under paths of plain segments, such as
// records/consumers/0e6f…, and counts the writes of each. It is safe for
// concurrent use. Like [Engine] it is made of predeclared types only, and its
// errors contain neither paths nor values.
//
// There is no deletion: it could name no version, so it would take away what
// somebody wrote a moment ago, and start the count again, so that a version
// seen long ago would fit once more. Who wants an object gone writes one that
// says so.
type Versioned interface {
	// ReadVersion returns the object at path and its version. Where there is
	// none, found is false, and version is what WriteVersion has to be given
	// all the same: more than 0 after a deletion by hand.
	ReadVersion(ctx context.Context, path string) (document []byte, version int, found bool, err error)
	// WriteVersion writes if the version is still cas, which is 0 where there
	// has never been an object. ok is false where it is not; then this write
	// has not happened and will not. After an error it may have, or may yet.
	WriteVersion(ctx context.Context, path string, document []byte, cas int) (version int, ok bool, err error)
	// ListUnder returns the last segments of the paths directly under folder,
	// in no particular order. Those of deleted objects may be among them.
	ListUnder(ctx context.Context, folder string) (names []string, err error)
}
