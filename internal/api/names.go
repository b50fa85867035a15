package api

import (
	"encoding/json"

	"go.yaml.in/yaml/v3"
)

// Names is one name, or a list of them; one is written as Kong does, without a
// list.
type Names []string

// MarshalJSON implements [json.Marshaler].
func (n Names) MarshalJSON() ([]byte, error) { return json.Marshal(n.plain()) }

// MarshalYAML implements [yaml.Marshaler].
func (n Names) MarshalYAML() (any, error) { return n.plain(), nil }

func (n Names) plain() any {
	if len(n) == 1 {
		return n[0]
	}
	return []string(n)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (n *Names) UnmarshalJSON(raw []byte) error {
	var one string
	if len(raw) > 0 && raw[0] == '"' {
		if err := json.Unmarshal(raw, &one); err != nil {
			return err
		}
		*n = Names{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(n))
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (n *Names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*n = Names{node.Value}
		return nil
	}
	return node.Decode((*[]string)(n))
}
