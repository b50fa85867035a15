package kongimport

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/vault-authz/vault-authz/internal/api"
)

// The kinds of entities that have a counterpart.
const (
	kindVault    = "vault-auth"
	kindConsumer = "consumer"
	kindACL      = "acl"
	kindPlugin   = "plugin"
)

// Existing has the entities of the service.
type Existing struct {
	Vaults    []api.Vault
	Consumers []api.Consumer
	ACLs      []api.ACL
	Plugins   []api.Plugin
	Policies  []api.Policy
}

// Read reads the entities of the service.
func Read(ctx context.Context, c *api.Client) (*Existing, error) {
	var e Existing
	var err error
	if e.Vaults, err = c.Vaults.List(ctx); err != nil {
		return nil, err
	}
	if e.Consumers, err = c.Consumers.List(ctx); err != nil {
		return nil, err
	}
	if e.ACLs, err = c.ACLs.List(ctx); err != nil {
		return nil, err
	}
	if e.Plugins, err = c.Plugins.List(ctx); err != nil {
		return nil, err
	}
	e.Policies, err = c.Policies.List(ctx)
	return &e, err
}

// Plan compares a file with the entities of the service and changes neither. The steps
// are in the order in which they are made: what limits access comes before what grants
// it.
func Plan(f *File, have *Existing) *Changes {
	p := planner{
		file: f, changes: &Changes{Steps: []Step{}},
		have:      Existing{Vaults: slices.Clone(have.Vaults), Plugins: slices.Clone(have.Plugins), Policies: slices.Clone(have.Policies)},
		consumers: map[string]api.Consumer{}, acls: map[string]api.ACL{},
		policies: len(have.Policies),
	}
	for _, c := range have.Consumers {
		p.knowConsumer(c)
	}
	for _, a := range have.ACLs {
		p.knowACL(a)
	}
	for _, o := range f.vaults {
		p.vault(o)
	}
	for _, o := range f.consumers {
		p.consumer(o)
	}
	for _, a := range f.acls {
		p.acl(a)
	}
	p.plugins()
	p.changes.Steps = append(p.changes.Steps, f.left...)
	if p.nameless > 0 {
		p.changes.Notes = append(p.changes.Notes, fmt.Sprintf("consumers without an id in the file: %d. Each gets one that is made of its username, or else its custom_id, and is the same at every run. "+
			"Token pairs that are in Vault already name consumers by the ids of Kong, and are denied then: if there are any, make the file with deck gateway dump --with-id", p.nameless))
	}
	return p.changes
}

// A planner adds planned entities to the existing ones, so that the next step can refer
// to them.
type planner struct {
	file *File
	// have is without consumers and groups, which are in maps: there may be many.
	have Existing
	// consumers are by id, username and custom_id; acls by id, and by consumer
	// and group.
	consumers map[string]api.Consumer
	acls      map[string]api.ACL
	// proposed are policies that an operator could make.
	proposed []api.Policy
	// policies is the number of existing policies in have; planned ones follow them.
	policies int
	// nameless counts planned consumers without an id in the file.
	nameless int
	changes  *Changes
}

func (p *planner) knowConsumer(c api.Consumer) {
	for _, key := range consumerKeys(&c) {
		p.consumers[key] = c
	}
}

func consumerKeys(c *api.Consumer) []string {
	keys := []string{"id=" + c.ID}
	if c.Username != nil {
		keys = append(keys, "username="+*c.Username)
	}
	if c.CustomID != nil {
		keys = append(keys, "custom_id="+*c.CustomID)
	}
	return keys
}

func (p *planner) knowACL(a api.ACL) {
	if a.ID != "" {
		p.acls["id="+a.ID] = a
	}
	if a.Consumer != nil {
		p.acls[membership(a.Consumer.ID, a.Group)] = a
	}
}

func membership(consumerID, group string) string { return "group=" + consumerID + "/" + group }

// first returns the value of the first known key.
func first[T any](known map[string]T, keys ...string) (T, bool) {
	for _, k := range keys {
		if v, ok := known[k]; ok {
			return v, true
		}
	}
	var none T
	return none, false
}

func (p *planner) add(s *Step) { p.changes.Steps = append(p.changes.Steps, *s) }

// needs marks a step that cannot be made as it is.
func (s *Step) needs(notes ...string) {
	s.Action = Needs
	s.Notes = append(s.Notes, notes...)
}

// compared marks a step about an entity that exists.
func (s *Step) compared(differences []string) {
	s.Action = Equal
	if len(differences) > 0 {
		s.Action = Differs
		s.Notes = append(s.Notes, differences...)
	}
}

// ignored returns the fields that every entity may have and that have no effect.
func ignored(more ...string) []string {
	return append(more, "created_at", "updated_at", "ws_id", "workspace", "workspace_id", "workspace_name")
}

func (p *planner) consumer(o object) {
	r := readerOf(o, "")
	c := api.Consumer{ID: r.id(), Username: r.optional("username"), CustomID: r.optional("custom_id"), Tags: r.list("tags")}
	// Entities nested in a consumer have steps of their own.
	var nested []string
	for name, value := range o {
		if _, ok := value.([]any); ok {
			nested = append(nested, name)
		}
	}
	s := Step{Action: Create, Kind: kindConsumer, Name: describe(o), ID: c.ID, Notes: r.unread(ignored(nested...)...)}
	defer func() { p.add(&s) }()
	if len(r.problems) > 0 {
		s.needs(r.problems...)
		return
	}
	keys, given := consumerKeys(&c), c.ID
	switch {
	case given != "":
	case c.Username != nil:
		c.ID = idOf("username", *c.Username)
	case c.CustomID != nil:
		c.ID = idOf("custom_id", *c.CustomID)
	}
	// One that was made from this file may have another name by now.
	if h, exists := first(p.consumers, append(keys, "id="+c.ID)...); exists {
		var d differences
		d.id(given, h.ID)
		d.add("username", c.Username, h.Username)
		d.add("custom_id", c.CustomID, h.CustomID)
		d.set("tags", c.Tags, h.Tags)
		s.compared(d)
		return
	}
	if c.Username == nil && c.CustomID == nil {
		s.needs("has neither a username nor a custom_id: give it one of them in the file")
		return
	}
	if given == "" {
		s.ID = c.ID
		p.nameless++
	}
	s.operation = api.CreateConsumer(c)
	p.knowConsumer(c)
}

// findConsumer finds an existing or planned consumer: by its id if the reference has
// one, since another consumer with its name must not get its groups.
func (p *planner) findConsumer(value any) (api.Consumer, bool) {
	wanted := refer(value, "username")
	key := "username=" + wanted.name
	if wanted.id != "" {
		key = "id=" + wanted.id
	} else if o, ok := value.(object); ok && wanted.name == "" {
		key = "custom_id=" + nameOf(o["custom_id"])
	}
	return first(p.consumers, key)
}

func (p *planner) acl(a acl) {
	r := readerOf(a.fields, "")
	m := api.ACL{ID: r.id(), Group: r.text("group"), Tags: r.list("tags")}
	who := cmp.Or(refer(a.consumer, "username", "custom_id").String(), "?")
	s := Step{Action: Create, Kind: kindACL, Name: who + ": " + m.Group, ID: m.ID, Notes: r.unread(ignored("consumer")...)}
	defer func() { p.add(&s) }()
	consumer, known := p.findConsumer(a.consumer)
	if name := text(consumer.Username); name != "" {
		s.Name = name + ": " + m.Group
	}
	switch {
	case len(r.problems) > 0:
		s.needs(r.problems...)
		return
	case m.Group == "":
		s.needs("group is missing in the file")
		return
	case !known:
		s.needs(fmt.Sprintf("needs the consumer %q first: see above, or dump GET /consumers too", who))
		return
	}
	if h, exists := first(p.acls, "id="+m.ID, membership(consumer.ID, m.Group)); exists {
		var d differences
		d.id(m.ID, h.ID)
		d.add("group", m.Group, h.Group)
		d.add("consumer", &api.Ref{ID: consumer.ID}, h.Consumer)
		d.set("tags", m.Tags, h.Tags)
		s.compared(d)
		return
	}
	s.operation = api.AddToGroup(consumer.ID, m)
	m.Consumer = &api.Ref{ID: consumer.ID}
	p.knowACL(m)
}
