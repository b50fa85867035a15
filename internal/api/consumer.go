package api

import "github.com/vault-authz/vault-authz/authz"

// A Consumer owns credentials. One of Username and CustomID must be set.
type Consumer struct {
	ID       string  `json:"id,omitempty" yaml:"id" rule:"check=uuid" doc:"UUID: what credential records refer to"`
	Username *string `json:"username,omitempty" yaml:"username,omitempty" flag:": NAME to have from now on" doc:"text: X-Consumer-Username; this or custom_id must be set"`
	CustomID *string `json:"custom_id,omitempty" yaml:"custom_id,omitempty" flag:": ID that it has elsewhere" doc:"text: X-Consumer-Custom-ID"`
	// Groups are declared with the consumer. The admin API has an [ACL] for each.
	Groups    []string `json:"-" yaml:"groups,omitempty" doc:"list: ACL groups, X-Consumer-Groups"`
	Tags      []string `json:"tags,omitempty" yaml:"tags,omitempty" rule:"check=tag" flag:"tag: TAG" doc:"list: for your own use"`
	CreatedAt int64    `json:"created_at,omitempty" yaml:"-" rule:"time"`
	UpdatedAt int64    `json:"updated_at,omitempty" yaml:"-" rule:"time"`
}

// Authz returns the consumer as the decision has it.
func (c *Consumer) Authz() authz.Consumer {
	return authz.Consumer{ID: c.ID, Username: deref(c.Username), CustomID: deref(c.CustomID), Groups: c.Groups, Tags: c.Tags}
}

// ConsumerOf is the opposite of [Consumer.Authz].
func ConsumerOf(c *authz.Consumer) Consumer {
	return Consumer{ID: c.ID, Username: ref(c.Username), CustomID: ref(c.CustomID), Groups: c.Groups, Tags: c.Tags}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func ref(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// An ACL is the membership of a consumer in a group.
type ACL struct {
	ID        string   `json:"id,omitempty" rule:"check=uuid"`
	Consumer  *Ref     `json:"consumer,omitempty" rule:"required,key=username"`
	Group     string   `json:"group" rule:"required"`
	Tags      []string `json:"tags,omitempty" rule:"check=tag"`
	CreatedAt int64    `json:"created_at,omitempty" rule:"time"`
}
