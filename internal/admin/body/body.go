package body

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/strictjson"
)

// The types of bodies.
const (
	TypeJSON      = "application/json"
	TypeForm      = "application/x-www-form-urlencoded"
	TypeMultipart = "multipart/form-data"
)

const (
	// maxParts bounds the fields of a form.
	maxParts = 1000
	// maxDepth bounds the dots in the name of a form field.
	maxDepth = 4
)

// errForm does not say more: what cannot be parsed may hold a secret.
var errForm = malformed("Cannot parse the form")

func malformed(message string) *api.Problem {
	return &api.Problem{Status: http.StatusBadRequest, Message: message}
}

func read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &api.Problem{Status: http.StatusRequestEntityTooLarge, Message: "Request body is larger than " + strconv.FormatInt(limit, 10) + " bytes"}
	case err != nil:
		return nil, malformed("Cannot read the request body")
	}
	return raw, nil
}

// Object reads a body that has to be a JSON object. what is what the object is called in
// errors, need says of which type it is.
func Object(r *http.Request, limit int64, what, need string) (map[string]json.RawMessage, error) {
	raw, err := read(nil, r, limit)
	if err != nil {
		return nil, err
	}
	if !isJSON(r.Header.Get("Content-Type")) {
		return nil, &api.Problem{Status: http.StatusUnsupportedMediaType, Message: "Unsupported media type: " + need + " " + TypeJSON}
	}
	fields, err := strictjson.Object(raw)
	if err != nil {
		return nil, malformed("Cannot parse the " + what + ": " + err.Error())
	}
	return fields, nil
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == TypeJSON
}

// Read reads the body. An empty body is an empty input.
func Read(w http.ResponseWriter, r *http.Request, limit int64) (schema.Input, error) {
	raw, err := read(w, r, limit)
	if err != nil {
		return schema.Input{}, err
	}
	header := r.Header.Get("Content-Type")
	if header == "" && len(raw) == 0 {
		return schema.Input{Values: map[string]any{}}, nil
	}
	mediaType, params, err := mime.ParseMediaType(header)
	if err != nil {
		mediaType = ""
	}
	switch mediaType {
	case TypeJSON:
		object, err := schema.DecodeObject(raw)
		if err != nil {
			return schema.Input{}, malformed("Cannot parse JSON body")
		}
		if strictjson.HasDuplicate(raw) {
			return schema.Input{}, malformed("Cannot parse JSON body: a field is given twice")
		}
		return schema.Input{Values: object}, nil
	case TypeForm:
		query, err := url.ParseQuery(string(raw))
		if err != nil {
			return schema.Input{}, errForm
		}
		return formInput(query)
	case TypeMultipart:
		query, records, err := readMultipart(raw, params["boundary"])
		if err != nil {
			return schema.Input{}, errForm
		}
		in, err := formInput(query)
		if err != nil {
			return schema.Input{}, err
		}
		for name, value := range records {
			if _, twice := in.Values[name]; twice {
				return schema.Input{}, errForm
			}
			in.Values[name] = value
		}
		return in, nil
	}
	return schema.Input{}, &api.Problem{Status: http.StatusUnsupportedMediaType, Message: "Unsupported media type: send " + TypeJSON + ", " + TypeForm + " or " + TypeMultipart}
}

// readMultipart returns the texts of a form, and the values of its JSON parts. A JSON
// part is the whole value of its field.
func readMultipart(raw []byte, boundary string) (form url.Values, records map[string]any, err error) {
	form, records = url.Values{}, map[string]any{}
	if boundary == "" {
		return nil, nil, errForm
	}
	reader := multipart.NewReader(bytes.NewReader(raw), boundary)
	for range maxParts {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return form, records, nil
		}
		if err != nil {
			return nil, nil, err
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, nil, err
		}
		name := part.FormName()
		if !isJSON(part.Header.Get("Content-Type")) {
			form.Add(name, string(value))
			continue
		}
		_, twice := records[name]
		if records[name], err = schema.DecodeValue(value); err != nil || twice || strictjson.HasDuplicate(value) {
			return nil, nil, errForm
		}
	}
	return nil, nil, errForm
}

// formInput nests dotted names: config.vault.id=x is {config: {vault: {id: x}}},
// and a repeated name, name[] and name[1] are lists.
func formInput(form url.Values) (schema.Input, error) {
	values := map[string]any{}
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	if len(names) > maxParts {
		return schema.Input{}, errForm
	}
	slices.Sort(names)
	for _, name := range names {
		key, isList := listName(name)
		path := strings.Split(key, ".")
		if len(path) > maxDepth || !put(values, path, form[name], isList) {
			return schema.Input{}, malformed("Cannot parse the form: a field has two meanings or is nested too deeply")
		}
	}
	return schema.Input{Values: values, Form: true}, nil
}

// listName removes [] or an index from a name.
func listName(name string) (key string, isList bool) {
	key, index, found := strings.Cut(name, "[")
	digits, closed := strings.CutSuffix(index, "]")
	if !found || !closed {
		return name, false
	}
	if _, err := strconv.ParseUint(digits, 10, 16); err != nil && digits != "" {
		return name, false
	}
	return key, true
}

func put(values map[string]any, path, texts []string, isList bool) bool {
	for _, name := range path[:len(path)-1] {
		inner, ok := values[name].(map[string]any)
		if !ok {
			if values[name] != nil {
				return false
			}
			inner = map[string]any{}
			values[name] = inner
		}
		values = inner
	}
	name := path[len(path)-1]
	if len(texts) == 1 && !isList && values[name] == nil {
		values[name] = texts[0]
		return true
	}
	var elements []any
	switch before := values[name].(type) {
	case nil:
	case []any:
		elements = before
	case string:
		elements = []any{before}
	default:
		return false
	}
	for _, t := range texts {
		elements = append(elements, t)
	}
	values[name] = elements
	return true
}
