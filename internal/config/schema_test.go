package config

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// compiled returns the schema. For a part of a configuration, what is required may be missing.
func compiled(t *testing.T, part bool) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if part {
		optional(document)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// optional deletes "required" from a schema.
func optional(of any) {
	switch of := of.(type) {
	case map[string]any:
		if _, is := of["required"].([]any); is {
			delete(of, "required")
		}
		for _, inner := range of {
			optional(inner)
		}
	case []any:
		for _, inner := range of {
			optional(inner)
		}
	}
}

func fits(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	var document any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s.Validate(document)
}

func TestSchemaAcceptsWhatIsAccepted(t *testing.T) {
	t.Parallel()
	shown, err := Parse([]byte(full), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := shown.Show()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"every part":                      full,
		"every setting":                   string(all),
		"sections without settings":       "log:\ntokens:\n" + full,
		"durations":                       full + "drain: {wait: 0, timeout: 1m30.5s}",
		"a version that is a number":      full + "grpc: {min_tls_version: 1.2}",
		"a mode that is a number":         strings.Replace(full, "probes:", "socket_mode: 0660, probes:", 1),
		"a name that is a number":         strings.Replace(full, "username: alice", "username: 17", 1),
		"one name or a list":              strings.Replace(full, "vault: v}\n", "vault: v, access_token_name: [a, b], secret_token_name: c}\n", 1),
		"no scheme, which is the default": strings.Replace(full, "vault: v}\n", "vault: v, authorization_scheme: ''}\n", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse([]byte(text), nil); err != nil {
				t.Fatal(err)
			}
			if err := fits(t, compiled(t, false), text); err != nil {
				t.Error(err)
			}
		})
	}
}

// semantic are wrong values that are of the right kind: only Load finds what is wrong.
var semantic = regexp.MustCompile(`^(debug\.remote|listen\.(grpc|probes|socket_group)|vaults\[\]\.(prefix|token_prefix|name|address|proxy|namespace|mount|token|timeout|max_.*|client_.*)|` +
	`.*_file|log\.allow_sample|grpc\.max_request_bytes|tokens\..*|admin\.listen|.*\.client_names.*|admin\.tokens\[\]\.(name|sha256)|admin\.hosts|log\..*\.target|listen\.socket_mode|state\..*|` +
	`vaults\[\]\.addresses|vaults\[\]\.login\..*|vaults\[\]\.cache\..*|consumers\[\]\..*|policies\[\]\.(name|hosts|paths|ignore_case|priority|vault|.*_token_name|tokens_in_body|anonymous|realm|denial\.(docs|body\..*|.*\.message)))$`)

func TestSchemaRefusesUnknownSettingsWrongKindsAndUnknownWords(t *testing.T) {
	t.Parallel()
	s := compiled(t, false)
	refused := 0
	check := func(t *testing.T, setting, value string) {
		t.Helper()
		text, _ := marked(t, setting, value)
		if fits(t, s, text) == nil {
			t.Errorf("%s: the schema accepts %s", setting, value)
		}
		refused++
	}
	for _, r := range row.FindAllStringSubmatch(Reference(), -1) {
		setting, kind := r[1], r[2]
		check(t, setting[:strings.LastIndex(setting, ".")+1]+"lissten", "1")
		switch kind {
		case "list":
			for _, value := range []string{"text", "{a: b}", "[{a: b}]"} {
				check(t, setting, value)
			}
		case "switch", "number", "bytes", "duration", "word":
			for _, value := range []string{"maybe", "[1]", "{a: b}"} {
				check(t, setting, value)
			}
			if kind == "duration" {
				check(t, setting, "5")
			}
		case "reference":
			check(t, setting, "text")
			check(t, setting, "{fil: a}")
		default:
			check(t, setting, "{a: b}")
			check(t, setting, "[[a]]")
		}
		if !semantic.MatchString(setting) {
			for _, value := range wrong[setting] {
				check(t, setting, value)
			}
		}
	}
	if refused < 250 {
		t.Errorf("%d values, want at least 250", refused)
	}
	for _, needed := range []string{"vaults[].name", "vaults[].mount", "policies[].name", "policies[].vault", "consumers[].id"} {
		list, name, _ := strings.Cut(needed, "[].")
		var whole yaml.Node
		if err := yaml.Unmarshal([]byte(full), &whole); err != nil {
			t.Fatal(err)
		}
		remove(whole.Content[0], list, name)
		text, err := yaml.Marshal(&whole)
		if err != nil {
			t.Fatal(err)
		}
		if fits(t, s, string(text)) == nil {
			t.Errorf("the schema accepts a configuration without %s", needed)
		}
	}
}

// A setting that is one of a few words or statuses says so.
func TestSchemaHasTheWordsOfEachSetting(t *testing.T) {
	t.Parallel()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Count(Reference(), " | word | ") + strings.Count(Reference(), " | status | ")
	if got := bytes.Count(text, []byte(`"enum"`)); got != words || words < 5 {
		t.Errorf("%d settings have an enum, %d are words", got, words)
	}
}

var (
	yamlBlock = regexp.MustCompile("(?ms)^ *```yaml\n(.*?)^ *```$")
	// Documents of others have sections of the same names.
	foreign = regexp.MustCompile(`(?m)^(static_resources|node|apiVersion|kind|image|resources):`)
)

// examples returns the configurations in the documents and in deploy, by file. A part of one
// in a document may lack what is required.
func examples(t *testing.T) (all map[string][]string) {
	t.Helper()
	all = map[string][]string{}
	root := filepath.Join("..", "..")
	for _, folder := range []string{"README.md", "docs", "deploy"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !slices.Contains([]string{".md", ".yaml"}, filepath.Ext(name)) || strings.Contains(name, "templates") {
				return err
			}
			raw, err := os.ReadFile(name)
			name = filepath.ToSlash(name)
			if filepath.Ext(name) == ".yaml" {
				all[name] = append(all[name], string(raw))
			}
			for _, block := range yamlBlock.FindAllStringSubmatch(string(raw), -1) {
				all[name] = append(all[name], block[1])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestSchemaAcceptsTheExamples(t *testing.T) {
	t.Parallel()
	whole, part := compiled(t, false), compiled(t, true)
	settings := fieldsOf(reflect.TypeFor[file]())
	found := 0
	for name, texts := range examples(t) {
		for _, text := range texts {
			var document map[string]any
			if foreign.MatchString(text) || yaml.Unmarshal([]byte(text), &document) != nil {
				document, _ = configMap(text)
			}
			if !slices.ContainsFunc(slices.Collect(maps.Keys(document)), func(key string) bool { return settings[key] != nil }) {
				continue
			}
			found++
			s := part
			if document["vaults"] != nil && document["policies"] != nil {
				s = whole
			}
			if err := s.Validate(document); err != nil {
				t.Errorf("%s: %v\nin\n%s", name, err, text)
			}
		}
	}
	if found < 12 {
		t.Errorf("%d configurations, want at least 12", found)
	}
}

// configMap returns the configuration in the values of the chart, or in a ConfigMap.
func configMap(text string) (document map[string]any, err error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var object struct {
			Kind   string
			Config map[string]any
			Data   map[string]string
		}
		if err := decoder.Decode(&object); err != nil {
			return nil, err
		}
		if object.Config["vaults"] != nil {
			return object.Config, nil
		}
		if config := object.Data["config.yaml"]; config != "" {
			return document, yaml.Unmarshal([]byte(config), &document)
		}
	}
}
