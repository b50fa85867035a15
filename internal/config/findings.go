package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

// A finding is one mistake.
type finding struct {
	// setting is like vaults[0].cache.ttl, "" for a mistake of the whole document. It
	// may be missing in the document; then the line of its section counts.
	setting string
	// or, if not "", is another setting that could be changed instead.
	or string
	// line is the line of the mistake, 0 for that of the setting.
	line int
	// text is for people.
	text string
}

type findings []finding

// add adds the mistakes in a section or an entity. label names it for people. The text
// of a mistake begins with the name of the setting within the section.
func (f *findings) add(setting, label string, err error) {
	if err == nil {
		return
	}
	var entity *authz.EntityError
	var tie *authz.Tie
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			f.add(setting, label, one)
		}
		return
	}
	switch {
	case errors.As(err, &entity):
		where := fmt.Sprintf("%s[%d]", entity.List, entity.Index)
		f.add(where, fmt.Sprintf("%s %q", where, entity.Name), entity.Err)
		return
	case errors.As(err, &tie):
		*f = append(*f, finding{setting: setting, text: tie.Error()})
		return
	}
	text := err.Error()
	name := named(text)
	switch {
	case name == "" && label != "":
		text = label + ": " + text
	case label != "":
		text = label + "." + text
	}
	*f = append(*f, finding{setting: below(setting, name), text: text})
}

// segments matches the setting at the beginning of a text, like tokens[0] "ops": sha256: .
var segments = regexp.MustCompile(`^([a-z][a-z0-9_.]*(?:\[\d+\])?)(?: "(?:[^"\\]|\\.)*")?: `)

// named returns the setting at the beginning of a text, "" for none.
func named(text string) string {
	setting := ""
	for setting == "" || strings.HasSuffix(setting, "]") {
		found := segments.FindStringSubmatch(text)
		if found == nil {
			break
		}
		setting, text = below(setting, found[1]), text[len(found[0]):]
	}
	return setting
}

// reported returns the findings as one error, one per line: first those in the document
// by line, then those in the environment and in flags. elsewhere has the origin of
// settings that were not given in the document.
func (d *document) reported(found findings, elsewhere map[string]string) error {
	type mistake struct {
		line int
		text string
	}
	var mistakes []mistake
	for _, f := range slices.Concat(d.found, found) {
		if f.or != "" && !d.has(f.setting, elsewhere) && d.has(f.or, elsewhere) {
			f.setting = f.or
		}
		m := mistake{f.line, f.text}
		switch from := elsewhere[f.setting]; {
		case from != "":
			m.text = from + ": " + m.text
		case m.line == 0:
			m.line = d.line(f.setting)
		}
		if m.line > 0 {
			m.text = fmt.Sprintf("line %d: %s", m.line, m.text)
		}
		mistakes = append(mistakes, m)
	}
	slices.SortStableFunc(mistakes, func(a, b mistake) int {
		if (a.line == 0) != (b.line == 0) {
			return b.line - a.line
		}
		return cmp.Compare(a.line, b.line)
	})
	var errs []error
	for _, m := range slices.Compact(mistakes) {
		errs = append(errs, errors.New(m.text))
	}
	return errors.Join(errs...)
}

func (d *document) has(setting string, elsewhere map[string]string) bool {
	return d.lines[setting] > 0 || elsewhere[setting] != ""
}

// line returns the line of a setting, or of the section around it, 0 for none.
func (d *document) line(setting string) int {
	for setting != "" {
		if line := d.lines[setting]; line > 0 {
			return line
		}
		// The check joins several addresses into one setting.
		if line := d.lines[setting+"es"]; line > 0 {
			return line
		}
		setting = around(setting)
	}
	return 0
}

// around returns the setting that another one is in, "" for none.
func around(setting string) string { return setting[:max(strings.LastIndexAny(setting, ".["), 0)] }

// without leaves out findings about settings that others already report: a setting of
// the wrong kind need not be reported as missing, too.
func (f findings) without(others findings) findings {
	said := map[string]bool{}
	for _, o := range others {
		said[o.setting] = o.setting != ""
	}
	return slices.DeleteFunc(slices.Clone(f), func(one finding) bool {
		for setting := one.setting; setting != ""; setting = around(setting) {
			if said[setting] {
				return true
			}
		}
		return false
	})
}
