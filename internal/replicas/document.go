package replicas

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"
)

const (
	path   = "replicas"
	format = 1
	// maxReplicas bounds the entry: beyond it, those that were not seen for the longest time
	// are dropped.
	maxReplicas = 500
)

// A Replica is what a replica says of itself. Times are Unix seconds.
type Replica struct {
	// Name is what operators know it by. Several may have the same.
	Name      string `json:"replica"`
	Version   string `json:"version"`
	StartedAt int64  `json:"started_at"`
	SeenAt    int64  `json:"seen_at"`
	// Current says that it decides requests. While that is false, they wait for changes that it
	// may have missed.
	Current bool `json:"current"`
	// ConfigHash is the SHA-256 of the configuration file in use, "" without a file.
	ConfigHash string `json:"config_hash"`
	// ReloadFailed says that the file has changed since, and is not in use.
	ReloadFailed bool `json:"reload_failed"`
}

// stored is the entry: what each replica has written, by an id that it has from its start to its
// end. What another version has written is kept as it is.
type stored struct {
	Format   int                        `json:"format"`
	Replicas map[string]json.RawMessage `json:"replicas"`
}

var errEntry = errors.New(`the entry "replicas" cannot be understood; was it written by hand, or by a later version? If no replica of a later version runs, delete it`)

// decode returns an empty entry for none.
func decode(raw []byte, found bool) (*stored, error) {
	s := &stored{Format: format}
	if found {
		if err := json.Unmarshal(raw, s); err != nil || s.Format != format {
			return nil, errEntry
		}
	}
	if s.Replicas == nil {
		s.Replicas = map[string]json.RawMessage{}
	}
	return s, nil
}

// all returns what all replicas have written. One that wrote something else has the time 0.
func (s *stored) all() map[string]Replica {
	all := make(map[string]Replica, len(s.Replicas))
	for id, raw := range s.Replicas {
		var r Replica
		if json.Unmarshal(raw, &r) != nil {
			r = Replica{}
		}
		all[id] = r
	}
	return all
}

// put adds or replaces a replica, and drops those that are gone: those that are silent for an
// hour, and those that are missing and have a successor, one that started later under their name.
func (s *stored) put(id string, r Replica, silent map[string]time.Duration) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	all := s.all()
	all[id] = r
	replaced := func(other string) bool {
		for successor, x := range all {
			if o := all[other]; successor != other && x.Name == o.Name && x.StartedAt > o.SeenAt {
				return true
			}
		}
		return false
	}
	for other, o := range all {
		if silent[other] > missingAfter && replaced(other) || silent[other] > keptFor || o.SeenAt <= 0 {
			delete(s.Replicas, other)
		}
	}
	delete(s.Replicas, id)
	if more := len(s.Replicas) + 1 - maxReplicas; more > 0 {
		oldest := slices.SortedFunc(maps.Keys(s.Replicas), func(a, b string) int { return int(all[a].SeenAt - all[b].SeenAt) })
		for _, other := range oldest[:more] {
			delete(s.Replicas, other)
		}
	}
	s.Replicas[id] = raw
	return nil
}
