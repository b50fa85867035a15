package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/vault-authz/vault-authz/internal/api"
)

// A Document is an entity by its field names. Values are string, int64, bool,
// []string, document, and nil for a field that is not set.
type Document map[string]any

// Text returns a text, "" if there is none under the name.
func (d Document) Text(name string) string { s, _ := d[name].(string); return s }

// Number returns a number, 0 if there is none under the name.
func (d Document) Number(name string) int64 { n, _ := d[name].(int64); return n }

// Yes reports whether there is a true under the name.
func (d Document) Yes(name string) bool { b, _ := d[name].(bool); return b }

// List returns a list of texts, nil if there is none under the name.
func (d Document) List(name string) []string { l, _ := d[name].([]string); return l }

// Record returns a document in the document, nil if there is none under the name.
func (d Document) Record(name string) Document { r, _ := d[name].(Document); return r }

// With returns the document with another value under a name.
func (d Document) With(name string, v any) Document {
	d = maps.Clone(d)
	d[name] = v
	return d
}

// WithoutNulls returns the document as it is stored: without fields that are not set.
func (d Document) WithoutNulls() Document {
	out := make(Document, len(d))
	for name, value := range d {
		if inner, ok := value.(Document); ok && inner != nil {
			value = inner.WithoutNulls()
		}
		if value != nil {
			out[name] = value
		}
	}
	return out
}

var errDocument = errors.New("the record's document is not a JSON object that this version understands")

// Decode reads the document of a record.
func Decode(raw []byte) (Document, error) {
	d, err := DecodeObject(raw)
	if err != nil {
		return nil, errDocument
	}
	return plain(d).(Document), nil //nolint:forcetypeassert // plain makes a document of an object
}

// DecodeObject reads one JSON object and nothing after it. Numbers stay as they
// are written.
func DecodeObject(raw []byte) (map[string]any, error) {
	value, err := DecodeValue(raw)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("it is no object")
	}
	return object, nil
}

// DecodeValue reads one JSON value and nothing after it. Numbers stay as they are
// written.
func DecodeValue(raw []byte) (any, error) {
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
		d := make(Document, len(v))
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

// DocumentOf returns the document of an entity.
func DocumentOf[T any](fields []api.Field, entity *T) Document {
	return nested(api.Values(fields, entity))
}

func nested(values map[string]any) Document {
	d := Document(values)
	for name, value := range d {
		if inner, ok := value.(map[string]any); ok {
			d[name] = nested(inner)
		}
	}
	return d
}

// EntityOf returns the entity of a document. A value of the wrong type counts as not
// set.
func EntityOf[T any](fields []api.Field, d Document) T {
	return api.Read[T](fields, valuesOf(d))
}

// valuesOf is the opposite of [nested].
func valuesOf(d Document) map[string]any {
	values := make(map[string]any, len(d))
	for name, value := range d {
		if inner, ok := value.(Document); ok {
			value = valuesOf(inner)
		}
		values[name] = value
	}
	return values
}

// A Stored is a document with its origin.
type Stored struct {
	Document
	Version  int
	Declared bool
}

// ID is the id of the entity.
func (s Stored) ID() string { return s.Text("id") }

// Encode makes the document of a record.
func (d Document) Encode() ([]byte, error) {
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encoding a document: %w", err)
	}
	return raw, nil
}
