package kongimport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"go.yaml.in/yaml/v3"
)

var lineNumber = regexp.MustCompile(`line \d+`)

// decode reads a file in JSON or YAML, which may have several documents.
func decode(raw []byte) ([]any, error) {
	trimmed := bytes.TrimSpace(raw)
	if len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
		return decodeJSON(trimmed)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var all []any
	for {
		var d any
		err := dec.Decode(&d)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			// The message may quote the file.
			where := lineNumber.FindString(err.Error())
			if where == "" {
				where = "it"
			}
			return nil, fmt.Errorf("%s is not valid YAML", where)
		}
		all = append(all, plain(d))
	}
}

func decodeJSON(raw []byte) ([]any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var all []any
	for {
		var d any
		err := dec.Decode(&d)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("it is not valid JSON after byte %d", dec.InputOffset())
		}
		all = append(all, d)
	}
}

// plain turns the keys of YAML that are not texts into texts, as in JSON.
func plain(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for k, v := range value {
			value[k] = plain(v)
		}
		return value
	case map[any]any:
		out := make(map[string]any, len(value))
		for k, v := range value {
			out[fmt.Sprint(k)] = plain(v)
		}
		return out
	case []any:
		for i, v := range value {
			value[i] = plain(v)
		}
	}
	return value
}
