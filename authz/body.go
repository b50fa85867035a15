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
const (
	maxBodyParameters = 1000
	maxBodyDepth      = 32
)

// searchBody looks for both tokens in a body of one of the types that Kong
// knows. A body that is incomplete, compressed, of another type or not well
// formed holds no token: it is not an error, since the body belongs to the
// upstream.
func (n *tokenNames) searchBody(r *Request) (found findings) {
	if r.BodyPartial || len(r.Body) == 0 {
		return found
	}
	if encoding := r.Header("content-encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
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

func (n *tokenNames) searchForm(form string) (found findings, ok bool) {
	for count := 0; form != ""; count++ {
		if count == maxBodyParameters {
			return found, false
		}
		var p parameter
		p, form = nextParameter(form)
		if t, is := n.parameters[p.name]; is {
			found[t].addParameter(p)
		}
	}
	return found, true
}

// errTooDeep ends the walk through a JSON body that nests too deep.
var errTooDeep = errors.New("nested too deep")

// searchJSON walks the top-level fields of an object. It reads token by token
// because a decoder into a map would keep the last of two equal names, where
// the upstream may keep the first.
func (n *tokenNames) searchJSON(body []byte) (found findings, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return found, false
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return found, false
		}
		value, err := dec.Token()
		if err != nil {
			return found, false
		}
		var t int
		var is bool
		if key, isString := name.(string); isString {
			t, is = n.lookupParameter(key)
		}
		switch v := value.(type) {
		case json.Delim:
			// A list or an object is more than one value.
			if is {
				found[t].count += 2
			}
			if skipJSON(dec) != nil {
				return found, false
			}
		case string:
			if is {
				found[t].add(v)
			}
		default:
			// Numbers, booleans and null are no tokens, as in Kong; a second
			// field of the name is still a duplicate.
			if is {
				found[t].add(bare)
			}
		}
	}
	if _, err := dec.Token(); err != nil {
		return found, false
	}
	_, err := dec.Token()
	return found, errors.Is(err, io.EOF)
}

// skipJSON reads to the end of the list or object that was just opened.
func skipJSON(dec *json.Decoder) error {
	for depth := 1; depth > 0; {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxBodyDepth {
				return errTooDeep
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
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
