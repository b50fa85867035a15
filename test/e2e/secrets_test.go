package e2e

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// secrets collects every token and secret of the tests and searches logs for them. It is
// safe for concurrent use.
type secrets struct {
	mu  sync.Mutex
	all []string
}

// shortest is the minimum length of a secret to search for: the "foo" of the announcement
// is part of other words.
const shortest = 8

func (s *secrets) add(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		if len(v) >= shortest {
			s.all = append(s.all, v)
		}
	}
}

// leaks returns the lines that contain a secret, with the name of the log.
func (s *secrets) leaks(logs map[string]string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for name, log := range logs {
		for _, secret := range s.all {
			before, after, ok := strings.Cut(log, secret)
			if !ok {
				continue
			}
			before = before[strings.LastIndexByte(before, '\n')+1:]
			after, _, _ = strings.Cut(after, "\n")
			found = append(found, fmt.Sprintf("%s: %s<%s>%s", name, before, secret, after))
		}
	}
	return found
}

// unique returns a new token, and remembers it as a secret.
func unique(prefix string) string {
	v := prefix + "-" + rand.Text()
	suite.secrets.add(v)
	return v
}

func TestSecretsAreFoundInALog(t *testing.T) {
	t.Parallel()
	var s secrets
	s.add("a-long-secret", "short")
	got := s.leaks(map[string]string{
		"good": "nothing\nshort\n",
		"bad":  "first line\nat a-long-secret here\nlast line\n",
	})
	if want := []string{"bad: at <a-long-secret> here"}; len(got) != 1 || got[0] != want[0] {
		t.Errorf("leaks = %q, want %q", got, want)
	}
}
