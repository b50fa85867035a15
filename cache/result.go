package cache

// A Result says what the cache did for a lookup.
type Result uint8

const (
	// Unanswered means that the caller had gone.
	Unanswered Result = iota
	// Hit means that the value was fresh.
	Hit
	// AbsentHit means that the store had said a short time ago that there is no such key.
	AbsentHit
	// StaleHit means that the value was stale, and the store could not be asked.
	StaleHit
	// Miss means that the lookup began a load.
	Miss
	// Coalesced means that the lookup waited for a load that another one had begun.
	Coalesced
	// Refused means that a limit of the loads was reached.
	Refused
)

// String returns a name in snake case.
func (r Result) String() string {
	names := [...]string{"unanswered", "hit", "absent_hit", "stale_hit", "miss", "coalesced", "refused"}
	if int(r) >= len(names) {
		r = Unanswered
	}
	return names[r]
}
