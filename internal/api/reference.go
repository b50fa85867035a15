package api

import "go.yaml.in/yaml/v3"

// Ref refers to an entity: the admin API by its id, the configuration file by its
// name.
type Ref struct {
	ID   string `json:"id"`
	Name string `json:"-"`
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (r *Ref) UnmarshalYAML(node *yaml.Node) error { return node.Decode(&r.Name) }

// MarshalYAML implements [yaml.Marshaler].
func (r Ref) MarshalYAML() (any, error) { return r.Name, nil }
