package strictjson

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// A Field is a field of a JSON object.
type Field struct {
	// Name is the name without quotes and escapes.
	Name []byte
	// Value is the value without white space around it.
	Value json.RawMessage
}

// Fields appends the fields of a JSON object to dst, in the order of the object. It does
// not look into their values, and makes no copy of raw: values and most names are parts
// of it.
func Fields(dst []Field, raw []byte) ([]Field, error) {
	i := skipSpace(raw, 0)
	if i == len(raw) || raw[i] != '{' || !json.Valid(raw) {
		return nil, ErrNotObject
	}
	first := len(dst)
	// From here on the syntax is known to be right, so that a step cannot leave raw.
	for i = skipSpace(raw, i+1); raw[i] != '}'; i = skipSpace(raw, i) {
		if raw[i] == ',' {
			i = skipSpace(raw, i+1)
		}
		end := endOfValue(raw, i)
		name := unquote(raw[i:end])
		colon := skipSpace(raw, end)
		i = skipSpace(raw, colon+1)
		end = endOfValue(raw, i)
		dst = append(dst, Field{name, raw[i:end:end]})
		i = end
	}
	if hasTwice(dst[first:]) {
		return nil, ErrDuplicate
	}
	return dst, nil
}

func skipSpace(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\n' || raw[i] == '\r') {
		i++
	}
	return i
}

// endOfValue returns the index behind the value that begins at i.
func endOfValue(raw []byte, i int) int {
	switch raw[i] {
	case '"':
		return endOfString(raw, i)
	case '{', '[':
		return endOfNest(raw, i)
	}
	for i < len(raw) && bytes.IndexByte([]byte(",]} \t\r\n"), raw[i]) < 0 {
		i++
	}
	return i
}

func endOfString(raw []byte, i int) int {
	for i++; raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++ // the escaped character
		}
	}
	return i + 1
}

// endOfNest returns the index behind the object or array that begins at i.
func endOfNest(raw []byte, i int) int {
	for depth := 0; ; i++ {
		switch raw[i] {
		case '"':
			i = endOfString(raw, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

// unquote returns the text of a JSON string as encoding/json reads it, without a copy
// where it is written as it is.
func unquote(quoted []byte) []byte {
	plain := quoted[1 : len(quoted)-1]
	for _, c := range plain {
		if c == '\\' || c >= utf8.RuneSelf {
			var text string
			// It is a valid string, which encoding/json can always read.
			_ = json.Unmarshal(quoted, &text)
			return []byte(text)
		}
	}
	return plain
}

// Text returns the text of a JSON string, and false for every other value.
func Text(value json.RawMessage) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	return string(unquote(value)), true
}

// few is up to how many names are compared each with each, which takes no memory.
const few = 16

func hasTwice(fields []Field) bool {
	if len(fields) > few {
		seen := make(map[string]struct{}, len(fields))
		for _, f := range fields {
			seen[string(f.Name)] = struct{}{}
		}
		return len(seen) < len(fields)
	}
	for i := range fields {
		for k := range i {
			if bytes.Equal(fields[i].Name, fields[k].Name) {
				return true
			}
		}
	}
	return false
}
