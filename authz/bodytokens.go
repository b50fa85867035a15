package authz

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

// Bounds on what is read of a body. A body that exceeds one holds no token.
// Parsing is work that anybody can ask for, and what it takes is time that the
// gateway waits: Kong reads no more than 8 KiB by default.
const (
	maxBodyLength     = 64 << 10
	maxBodyParameters = 1000
	maxBodyDepth      = 32
)

// searchBody looks for both tokens in a body of one of the types that Kong
// knows. A body that is incomplete, long, compressed, of another type or not
// well formed holds no token: it is not an error, since the body belongs to the
// upstream.
func (n *tokenNames) searchBody(r *Request) (found findings) {
	if r.BodyPartial || len(r.Body) == 0 || len(r.Body) > maxBodyLength || encoded(r) {
		return found
	}
	mediaType, params, err := mime.ParseMediaType(r.Header("content-type"))
	if err != nil {
		return found
	}
	var ok bool
	switch mediaType {
	case "application/x-www-form-urlencoded":
		found, ok = n.searchForm(string(r.Body))
	case "application/json":
		found, ok = n.searchJSON(r.Body)
	case "multipart/form-data":
		found, ok = n.searchMultipart(r.Body, params["boundary"])
	}
	if !ok {
		return findings{}
	}
	return found
}

// encoded says whether a body is, or may be, in another form than it looks.
func encoded(r *Request) bool {
	value, count := r.header("content-encoding")
	return count > 1 || count == 1 && !strings.EqualFold(value, "identity")
}

func (n *tokenNames) searchForm(form string) (found findings, ok bool) {
	for count := 0; form != ""; count++ {
		if count == maxBodyParameters {
			return found, false
		}
		var p parameter
		p, form = nextParameter(form)
		if t, is := n.tokenOf(p); is {
			found[t].addParameter(p)
		}
	}
	return found, true
}

// searchJSON walks the top-level fields of an object. It reads field by field
// because a decoder into a map would keep the last of two equal names, where the
// upstream may keep the first.
func (n *tokenNames) searchJSON(body []byte) (found findings, ok bool) {
	if tooDeep(body) {
		return found, false
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return found, false
	}
	for count := 0; dec.More(); count++ {
		if count == maxBodyParameters {
			return found, false
		}
		name, err := dec.Token()
		if err != nil {
			return found, false
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return found, false
		}
		key, isString := name.(string)
		if t, is := n.lookupParameter(key); is && isString {
			found[t].addJSON(value)
		}
	}
	if _, err := dec.Token(); err != nil {
		return found, false
	}
	_, err := dec.Token()
	return found, errors.Is(err, io.EOF)
}

// addJSON counts a field. Numbers, booleans and null are not tokens, as in Kong;
// a list or an object is more than one value.
func (f *finding) addJSON(value json.RawMessage) {
	switch value[0] {
	case '[', '{':
		f.count = 2
	case '"':
		var s string
		f.broken = f.broken || json.Unmarshal(value, &s) != nil
		f.add(s)
	default:
		f.add("")
	}
}

// tooDeep says whether a JSON text nests deeper than maxBodyDepth. It counts the
// brackets outside of strings. The text may be malformed.
func tooDeep(text []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxBodyDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

func (n *tokenNames) searchMultipart(body []byte, boundary string) (found findings, ok bool) {
	if boundary == "" {
		return found, false
	}
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	for range maxBodyParameters {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return found, true
		}
		if err != nil {
			return found, false
		}
		t, is := n.lookupParameter(part.FormName())
		if !is {
			continue
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return found, false
		}
		if part.FileName() != "" || part.Header.Get("Content-Transfer-Encoding") != "" {
			// A file, or an encoding that browsers do not send and upstreams
			// treat differently: given, but no value to go by.
			found[t].broken = true
		}
		found[t].add(string(value))
	}
	return found, false
}
