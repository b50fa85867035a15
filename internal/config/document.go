package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/internal/api"
)

// A document has the line of each setting in a YAML document.
type document struct {
	// lines are by setting, like vaults[0].cache.ttl.
	lines map[string]int
	// found has unknown settings, and those of the wrong kind.
	found findings
	// merges counts merges; they may contain one another.
	merges int
	// fields are the settings of each kind of section that was read.
	fields map[reflect.Type]map[string][]int
}

// maxMerges stops merges that contain themselves, or that grow exponentially.
const maxMerges = 20_000

// read reads as much of a document into f as it can. Only invalid YAML is an error: after
// it nothing can be read.
func read(raw []byte, f *file) (*document, error) {
	d := &document{lines: map[string]int{}, fields: map[reflect.Type]map[string][]int{}}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var whole, next yaml.Node
	if err := dec.Decode(&whole); errors.Is(err, io.EOF) {
		return d, nil
	} else if err != nil {
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		if strings.HasSuffix(text, "found character that cannot start any token") {
			text += "; this is usually a tab: indent with spaces"
		}
		return nil, errors.New(text)
	}
	if err := dec.Decode(&next); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one YAML document; put everything into one")
	}
	d.value(whole.Content[0], reflect.ValueOf(f).Elem(), "")
	return d, nil
}

// value reads one value. It never quotes an invalid one: it may be a secret that was put
// there by mistake.
func (d *document) value(node *yaml.Node, into reflect.Value, setting string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.ShortTag() == "!!null" {
		return // as if it was not there
	}
	if into.Kind() == reflect.Pointer && into.Type().Elem().Kind() == reflect.Struct {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	_, custom := into.Addr().Interface().(yaml.Unmarshaler)
	switch {
	case into.Kind() == reflect.Struct && !custom:
		d.section(node, into, setting)
	case into.Kind() == reflect.Slice && !custom:
		d.list(node, into, setting)
	default:
		if isDuration(into.Type()) && node.Value == "0" {
			node = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "0s"}
		}
		if node.Decode(into.Addr().Interface()) != nil {
			into.SetZero()
			d.wrong(node, setting, expected(into.Type()))
		}
	}
}

// section reads settings.
func (d *document) section(node *yaml.Node, into reflect.Value, setting string) {
	if node.Kind != yaml.MappingNode {
		d.wrong(node, setting, "expected settings, each with its name, and not a value")
		return
	}
	fields, lines := d.fieldsOf(into.Type()), map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; key.ShortTag() == "!!merge" {
			d.merge(node.Content[i+1], into, setting)
		}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		field, known := fields[key.Value]
		switch before := lines[key.Value]; {
		case key.ShortTag() == "!!merge":
		case key.Kind != yaml.ScalarNode || !known:
			d.unknown(key, setting)
		case before > 0:
			text := fmt.Sprintf("%s: is given twice, in line %d too", below(setting, key.Value), before)
			d.found = append(d.found, finding{line: key.Line, text: text})
		default:
			lines[key.Value] = key.Line
			name := below(setting, key.Value)
			d.lines[name] = key.Line
			// A value replaces a merged one completely.
			into.FieldByIndex(field).SetZero()
			d.value(node.Content[i+1], into.FieldByIndex(field), name)
		}
	}
}

// merge reads the settings that << refers to, or a list of them, of which the first
// count.
func (d *document) merge(node *yaml.Node, into reflect.Value, setting string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if d.merges++; d.merges > maxMerges {
		if d.merges == maxMerges+1 {
			d.wrong(node, setting, "merges contain themselves, or there are too many")
		}
		return
	}
	if node.Kind != yaml.SequenceNode {
		d.section(node, into, setting)
		return
	}
	for _, one := range slices.Backward(node.Content) {
		if one.Kind == yaml.AliasNode {
			one = one.Alias
		}
		d.section(one, into, setting)
	}
}

func (d *document) list(node *yaml.Node, into reflect.Value, setting string) {
	if node.Kind != yaml.SequenceNode {
		d.wrong(node, setting, "expected a list")
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content)))
	for i, element := range node.Content {
		name := fmt.Sprintf("%s[%d]", setting, i)
		d.lines[name] = element.Line
		if element.ShortTag() == "!!null" {
			d.wrong(element, name, "is empty")
		}
		d.value(element, into.Index(i), name)
	}
}

func (d *document) wrong(node *yaml.Node, setting, problem string) {
	text := problem
	if setting != "" {
		text = setting + ": " + problem
	}
	d.found = append(d.found, finding{setting: setting, line: node.Line, text: text})
}

// settingLike matches names that may be quoted: tokens have other characters, too.
var settingLike = regexp.MustCompile(`^[A-Za-z]+([_-][A-Za-z]+)*$`)

func (d *document) unknown(key *yaml.Node, setting string) {
	name := key.Value
	if key.Kind != yaml.ScalarNode || !settingLike.MatchString(name) {
		name = "(not shown, because it may be a secret)"
	}
	text := "unknown setting " + name
	if setting != "" {
		text += " in " + setting
	}
	d.found = append(d.found, finding{line: key.Line, text: text})
}

// fieldsOf is the function of that name. There may be many sections of a kind, and looking
// at a type takes longer than reading a section.
func (d *document) fieldsOf(section reflect.Type) map[string][]int {
	fields, known := d.fields[section]
	if !known {
		fields = fieldsOf(section)
		d.fields[section] = fields
	}
	return fields
}

// fieldsOf returns the settings of a section by name, including those of inline
// sections.
func fieldsOf(section reflect.Type) map[string][]int {
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(section) {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" {
			fields[name] = f.Index
		}
	}
	return fields
}

func below(setting, name string) string {
	if setting == "" {
		return name
	}
	return setting + "." + name
}

func isDuration(kind reflect.Type) bool {
	return kind == reflect.TypeFor[time.Duration]() || kind == reflect.TypeFor[*time.Duration]()
}

// expected describes a valid value.
func expected(kind reflect.Type) string {
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	switch {
	case isDuration(kind):
		return "expected a duration, such as 500ms, 30s or 5m"
	case kind == reflect.TypeFor[mode]():
		return "expected the mode of a file, such as 0660"
	case kind == reflect.TypeFor[api.Names]():
		return "expected a name or a list of names"
	}
	switch kind.Kind() { //nolint:exhaustive // settings are of no other kinds
	case reflect.Bool:
		return "expected true or false"
	case reflect.Int:
		return "expected a whole number"
	case reflect.Float64:
		return "expected a number"
	}
	return "expected a text"
}
