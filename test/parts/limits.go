package parts

import "time"

// The limits that vault-authz keeps on a cluster, with a poll interval of one second.
const (
	// RevocationLimit is the time after which a revocation through one replica holds on
	// another.
	RevocationLimit = 2 * time.Second
	// CallLimit is the limit for an admin call while nothing is broken.
	CallLimit = 1500 * time.Millisecond
	// RecoveryLimit is the time after which admin calls succeed once a leader can be
	// reached.
	RecoveryLimit = 2 * time.Second
	// SlowLink is the delay of a slow link.
	SlowLink = 300 * time.Millisecond
)
