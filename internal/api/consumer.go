package api

// A Consumer is who credentials belong to. One of Username and CustomID must be
// set.
type Consumer struct {
	ID        string   `json:"id,omitempty"`
	Username  *string  `json:"username,omitempty"`
	CustomID  *string  `json:"custom_id,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	CreatedAt int64    `json:"created_at,omitempty"`
	UpdatedAt int64    `json:"updated_at,omitempty"`
}

// An ACL is the membership of a consumer in a group.
type ACL struct {
	ID        string   `json:"id,omitempty"`
	Consumer  *Ref     `json:"consumer,omitempty"`
	Group     string   `json:"group"`
	Tags      []string `json:"tags,omitempty"`
	CreatedAt int64    `json:"created_at,omitempty"`
}
