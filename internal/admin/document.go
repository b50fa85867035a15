package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/vault-authz/vault-authz/internal/api"
)

// A document is an entity by its field names. Values are string, int64, bool,
// []string, document, and nil for a field that is not set.
type document map[string]any

func (d document) text(name string) string { s, _ := d[name].(string); return s }
func (d document) number(name string) int64 {
	n, _ := d[name].(int64)
	return n
}
func (d document) yes(name string) bool        { b, _ := d[name].(bool); return b }
func (d document) list(name string) []string   { l, _ := d[name].([]string); return l }
func (d document) record(name string) document { r, _ := d[name].(document); return r }
func (d document) with(name string, v any) document {
	d = maps.Clone(d)
	d[name] = v
	return d
}

// withoutNulls returns the document as it is stored: without fields that are not set.
func (d document) withoutNulls() document {
	out := make(document, len(d))
	for name, value := range d {
		if inner, ok := value.(document); ok && inner != nil {
			value = inner.withoutNulls()
		}
		if value != nil {
			out[name] = value
		}
	}
	return out
}

var errDocument = errors.New("the record's document is not a JSON object that this version understands")

// decodeDocument reads the document of a record.
func decodeDocument(raw []byte) (document, error) {
	d, err := decodeObject(raw)
	if err != nil {
		return nil, errDocument
	}
	return plain(d).(document), nil //nolint:forcetypeassert // plain makes a document of an object
}

// decodeObject reads one JSON object and nothing after it. Numbers stay as they
// are written.
func decodeObject(raw []byte) (map[string]any, error) {
	value, err := decodeValue(raw)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("it is no object")
	}
	return object, nil
}

// decodeValue reads one JSON value and nothing after it. Numbers stay as they are
// written.
func decodeValue(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the value")
	}
	return value, nil
}

// plain brings decoded JSON into the types of a document.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		return v
	case map[string]any:
		d := make(document, len(v))
		for name, value := range v {
			d[name] = plain(value)
		}
		return d
	case []any:
		texts := make([]string, 0, len(v))
		for _, element := range v {
			s, ok := element.(string)
			if !ok {
				return v
			}
			texts = append(texts, s)
		}
		return texts
	}
	return v
}

// written returns the document of an entity.
func written[T any](fields []api.Field, entity *T) document {
	return documentOf(api.Values(fields, entity))
}

func documentOf(values map[string]any) document {
	d := document(values)
	for name, value := range d {
		if inner, ok := value.(map[string]any); ok {
			d[name] = documentOf(inner)
		}
	}
	return d
}

// entityOf returns the entity of a document. A value of the wrong type counts as not
// set.
func entityOf[T any](fields []api.Field, d document) T {
	return api.Read[T](fields, valuesOf(d))
}

// valuesOf is the opposite of [documentOf].
func valuesOf(d document) map[string]any {
	values := make(map[string]any, len(d))
	for name, value := range d {
		if inner, ok := value.(document); ok {
			value = valuesOf(inner)
		}
		values[name] = value
	}
	return values
}

// A stored is a document with its origin.
type stored struct {
	document
	version  int
	declared bool
}

func (s stored) id() string { return s.text("id") }

// encode makes the document of a record.
func (d document) encode() ([]byte, error) {
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encoding a document: %w", err)
	}
	return raw, nil
}
