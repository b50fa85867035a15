package deck

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

//go:embed testdata
var testdata embed.FS

// The sets of exchanges.
const (
	// Consumers covers consumers, their groups and the acl plugin, all with the tag
	// deck. Other entities do not matter.
	Consumers = "consumers"
	// Plugin covers a global vault-auth plugin for the vault object home, which the
	// configuration file must declare. It needs a service without a default policy.
	Plugin = "plugin"
)

// A Set is the requests of decK, command by command.
type Set struct {
	Headers map[string]string `yaml:"headers"`
	// Lists are exchanges that several commands have.
	Lists map[string]exchanges `yaml:"lists"`
	Runs  []Run                `yaml:"runs"`
}

// A Run is a command of decK.
type Run struct {
	Command   string    `yaml:"command"`
	Exchanges exchanges `yaml:"exchanges"`
}

// An Exchange is a request, and what its answer must contain.
type Exchange struct {
	// Call is the method and the path with its query.
	Call   string `yaml:"call"`
	Send   any    `yaml:"send"`
	Status int    `yaml:"status"`
	// Body must be in the body of the answer: objects may have more fields, lists no
	// more elements.
	Body any `yaml:"body"`
}

// exchanges may contain lists of exchanges, by YAML aliases.
type exchanges []Exchange

func (e *exchanges) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.AliasNode {
		return e.UnmarshalYAML(node.Alias)
	}
	if node.Kind == yaml.MappingNode {
		var one Exchange
		if err := node.Decode(&one); err != nil {
			return err
		}
		*e = append(*e, one)
		return nil
	}
	for _, inner := range node.Content {
		if err := e.UnmarshalYAML(inner); err != nil {
			return err
		}
	}
	return nil
}

// Read returns a set by its name.
func Read(name string) (*Set, error) {
	raw, err := testdata.ReadFile("testdata/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	set := &Set{}
	if err := dec.Decode(set); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return set, nil
}

// Replay sends the requests of a set to a service and reports each answer that decK would
// not accept.
func Replay(t *testing.T, to http.RoundTripper, base, name string) {
	t.Helper()
	set, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range set.Runs {
		if len(run.Exchanges) == 0 {
			t.Errorf("%s: no exchanges", run.Command)
		}
		for _, e := range run.Exchanges {
			status, raw, err := e.ask(t, to, base, set.Headers)
			if err != nil {
				t.Fatalf("%s: %s: %v", run.Command, e.Call, err)
			}
			if status != e.Status {
				t.Fatalf("%s: %s: got %d, want %d: %s", run.Command, e.Call, status, e.Status, raw)
			}
			if e.Body == nil {
				continue
			}
			var got any
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatalf("%s: %s: %v: %s", run.Command, e.Call, err, raw)
			}
			if problem := lacks(got, plain(e.Body), ""); problem != "" {
				t.Errorf("%s: %s: %s: %s", run.Command, e.Call, problem, raw)
			}
		}
	}
}

func (e *Exchange) ask(t *testing.T, to http.RoundTripper, base string, headers map[string]string) (int, []byte, error) {
	t.Helper()
	method, path, _ := strings.Cut(e.Call, " ")
	var body io.Reader = http.NoBody
	if e.Send != nil {
		raw, err := json.Marshal(plain(e.Send))
		if err != nil {
			return 0, nil, err
		}
		body = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, base+path, body)
	if err != nil {
		return 0, nil, err
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	if e.Send != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := to.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, raw, err
}

// plain returns a value after a round trip through JSON.
func plain(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	var out any
	_ = json.Unmarshal(raw, &out) // raw is valid JSON
	return out
}

// lacks describes what of want is missing in got, "" if nothing is.
func lacks(got, want any, path string) string {
	switch want := want.(type) {
	case map[string]any:
		record, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want a record", path, got)
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			value, has := record[name]
			if !has {
				return path + "." + name + " is missing"
			}
			if problem := lacks(value, want[name], path+"."+name); problem != "" {
				return problem
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("%s is %v, want a list of %d", path, got, len(want))
		}
		for i := range want {
			if problem := lacks(list[i], want[i], fmt.Sprintf("%s[%d]", path, i)); problem != "" {
				return problem
			}
		}
		return ""
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Sprintf("%s is %v, want %v", path, got, want)
	}
	return ""
}
