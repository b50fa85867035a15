package authz

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Consumers finds consumers that another package keeps in memory. It is immutable: after a
// change there is another Consumers. It is safe for concurrent use.
type Consumers interface {
	// ByID and ByUsername return [ErrNotFound] if there is no such consumer. Any other
	// error says why the consumer must not be used.
	ByID(id string) (Consumer, error)
	ByUsername(username string) (Consumer, error)
}

// A Directory has all consumers that decisions know: those of the configuration, and those
// of a [Consumers], which are prepared when they are first looked up. It is immutable, and
// safe for concurrent use.
type Directory struct {
	byID   map[string]*consumer
	byName map[string]*consumer
	more   Consumers
	// known are the consumers of more that have been looked up, by id.
	known *consumerMemo
}

// NewDirectory checks the consumers of the configuration against each other and
// reports every mistake. more may be nil.
func NewDirectory(consumers []Consumer, more Consumers) (*Directory, error) {
	d := &Directory{byID: map[string]*consumer{}, byName: map[string]*consumer{}, more: more, known: &consumerMemo{}}
	if more == nil {
		d.more = noConsumers{}
	}
	var errs []error
	customIDs := map[string]bool{}
	for i, c := range consumers {
		err := c.Validate()
		valid := err == nil
		switch {
		case !valid:
		case d.byID[c.ID] != nil:
			err = fmt.Errorf("id: %s is taken by another consumer", c.ID)
		case c.Username != "" && d.byName[c.Username] != nil:
			err = errors.New("username: is taken by another consumer")
		case c.CustomID != "" && customIDs[c.CustomID]:
			err = fmt.Errorf("custom_id: %q is taken by another consumer", c.CustomID)
		}
		if err != nil {
			errs = append(errs, &EntityError{List: "consumers", Index: i, Name: cmp.Or(c.Username, c.CustomID), Err: err})
		}
		if !valid {
			continue
		}
		c.Groups = slices.Clone(c.Groups)
		entry := newConsumer(c)
		d.byID[c.ID] = entry
		customIDs[c.CustomID] = true
		if c.Username != "" {
			d.byName[c.Username] = entry
		}
	}
	return d, errors.Join(errs...)
}

// noConsumers is a [Consumers] without consumers.
type noConsumers struct{}

func (noConsumers) ByID(string) (Consumer, error)       { return Consumer{}, ErrNotFound }
func (noConsumers) ByUsername(string) (Consumer, error) { return Consumer{}, ErrNotFound }

// Next returns the Directory with another Consumers, which differs from the one before only
// in consumers with these ids. The others need not be prepared again.
func (d *Directory) Next(more Consumers, changed []string) *Directory {
	return &Directory{byID: d.byID, byName: d.byName, more: more, known: d.known.without(changed)}
}

// Lookup returns the consumer of an id. Its error is [ErrNotFound], or says why the
// consumer must not be used.
func (d *Directory) Lookup(id string) (Consumer, error) {
	c, err := d.consumer(id)
	if err != nil {
		return Consumer{}, err
	}
	return c.Consumer, nil
}

// consumer is Lookup, and keeps what it prepares.
func (d *Directory) consumer(id string) (*consumer, error) {
	if c := d.prepared(id); c != nil {
		return c, nil
	}
	return d.prepare(d.more.ByID(id))
}

// peek is Lookup for callers that look up very many consumers: it keeps none of them.
func (d *Directory) peek(id string) (Consumer, error) {
	if c := d.prepared(id); c != nil {
		return c.Consumer, nil
	}
	found, err := d.more.ByID(id)
	if err != nil {
		return Consumer{}, err
	}
	return found, found.Validate()
}

// prepared returns the consumer of an id if it is declared or has been prepared, else nil.
func (d *Directory) prepared(id string) *consumer {
	if c := d.byID[id]; c != nil {
		return c
	}
	return d.known.get(id)
}

// prepare prepares and keeps what a [Consumers] has returned.
func (d *Directory) prepare(found Consumer, err error) (*consumer, error) {
	if err != nil {
		return nil, err
	}
	if err := found.Validate(); err != nil {
		return nil, err
	}
	return d.known.add(newConsumer(found)), nil
}

// named finds a consumer by id, then by username, but not by custom id, as Kong does for
// anonymous. It returns nil if there is none that may be used.
func (d *Directory) named(idOrUsername string) *consumer {
	if c, err := d.consumer(idOrUsername); err == nil {
		return c
	}
	if c := d.byName[idOrUsername]; c != nil {
		return c
	}
	c, _ := d.prepare(d.more.ByUsername(idOrUsername))
	return c
}
