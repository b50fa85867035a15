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

// A finding is one thing that is wrong.
type finding struct {
	// setting is like vaults[0].cache.ttl, "" for none in particular. Where it is not
	// given, or has a name in one, the section around it is.
	setting string
	// or, if not "", is another setting that could be changed instead.
	or string
	// line is where it was read, 0 where the setting says it.
	line int
	// text is for people.
	text string
}

type findings []finding

// add takes what is wrong with a section or an entity. label is what people call it. The
// packages begin the text of what is wrong with a setting with its name below that.
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

// segments match what a text about a setting begins with, like tokens[0] "ops": sha256: .
var segments = regexp.MustCompile(`^([a-z][a-z0-9_.]*(?:\[\d+\])?)(?: "(?:[^"\\]|\\.)*")?: `)

// named is the setting that a text is about, "" for none.
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

// reported are the findings as one error, one a line, by their place in the document,
// behind them those of the environment and of flags. elsewhere has where settings were
// given instead of in the document.
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

// line is that of a setting, or of what is around it, 0 for none.
func (d *document) line(setting string) int {
	for setting != "" {
		if line := d.lines[setting]; line > 0 {
			return line
		}
		// Several addresses are one text where they are checked.
		if line := d.lines[setting+"es"]; line > 0 {
			return line
		}
		setting = setting[:max(strings.LastIndexAny(setting, ".["), 0)]
	}
	return 0
}

// without leaves out what is said of settings that others are about already: of one of
// the wrong kind it is no news that it is missing.
func (f findings) without(others findings) findings {
	said := map[string]bool{}
	for _, o := range others {
		said[o.setting] = o.setting != ""
	}
	return slices.DeleteFunc(slices.Clone(f), func(one finding) bool {
		for setting := one.setting; setting != ""; setting = setting[:max(strings.LastIndexAny(setting, ".["), 0)] {
			if said[setting] {
				return true
			}
		}
		return false
	})
}
