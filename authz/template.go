package authz

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A Template is the body of a denial with fields in it, such as {{request_id}}. There is nothing
// else in it: no conditions, no loops, no calls.
type Template []TemplatePart

// A TemplatePart is text as it is, and the field that follows it.
type TemplatePart struct {
	Literal string
	Field   TemplateField
}

// A TemplateField is a value of a denial. The set is closed. The only one that a client has a
// hand in is the request id, which has nothing but hexadecimal digits. None tells more of the
// reason than its class.
type TemplateField uint8

// The fields. A part without one is the last.
const (
	FieldNone TemplateField = iota
	FieldClass
	FieldStatus
	FieldTitle
	FieldMessage
	FieldRequestID
	FieldRealm

	fieldCount
)

var fieldNames = [fieldCount]string{"", "class", "status", "title", "message", "request_id", "realm"}

func fieldNamed(name string) TemplateField {
	for f := FieldNone + 1; f < fieldCount; f++ {
		if fieldNames[f] == name {
			return f
		}
	}
	return FieldNone
}

// DenialTemplates are the templates of a policy by their formats, nil where it has none.
type DenialTemplates struct{ JSON, HTML, XML, Text Template }

// templates returns the templates of options that are valid, nil for those that change nothing.
func (o *DenialOptions) templates() *DenialTemplates {
	if *o == (DenialOptions{}) {
		return nil
	}
	of := func(text string) Template {
		t, err := parseTemplate(text)
		if err != nil {
			return nil // the options are valid, so there is none
		}
		return t
	}
	return &DenialTemplates{JSON: of(o.Body.JSON), HTML: of(o.Body.HTML), XML: of(o.Body.XML), Text: of(o.Body.Text)}
}

const (
	opening, closing = "{{", "}}"
	// maxTemplate bounds a template, maxDenialBody what it may become.
	maxTemplate   = 4096
	maxDenialBody = 16 << 10
	// maxEscaped is how many bytes may stand for one when a value is escaped, as in \u0022.
	maxEscaped = 6
	// maxTitle is longer than the phrase of every status.
	maxTitle = 64
	// maxQuoted is how much of a wrong field is quoted.
	maxQuoted = 40
)

// parseTemplate reads a template. The error names every mistake.
func parseTemplate(text string) (Template, error) {
	var t Template
	var mistakes []string
	for text != "" {
		literal, rest, found := strings.Cut(text, opening)
		if !found {
			t = append(t, TemplatePart{Literal: text})
			break
		}
		name, after, closed := strings.Cut(rest, closing)
		if !closed {
			mistakes = append(mistakes, fmt.Sprintf("%s has no %s after it: %q", opening, closing, quotedStart(rest)))
			break
		}
		field := fieldNamed(strings.Trim(name, " "))
		if field == FieldNone {
			mistakes = append(mistakes, fmt.Sprintf("there is no field %q; write one of {{%s}}", quotedStart(name), strings.Join(fieldNames[1:], "}}, {{")))
		}
		t = append(t, TemplatePart{literal, field})
		text = after
	}
	if len(mistakes) > 0 {
		return nil, errors.New(strings.Join(mistakes, "; "))
	}
	return t, nil
}

func quotedStart(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuoted], "") + "…"
}

// validateTemplate checks a template, "" for none. isForm returns what is wrong with its format.
func validateTemplate(name, text, realm string, isForm func(Template) error) error {
	switch {
	case text == "":
		return nil
	case len(text) > maxTemplate:
		return fmt.Errorf("%s: longer than %d bytes", name, maxTemplate)
	case !utf8.ValidString(text):
		return fmt.Errorf("%s: it is not UTF-8", name)
	case strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f }):
		return fmt.Errorf("%s: it contains a control character", name)
	}
	t, err := parseTemplate(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if n := t.longest(len(realm)); n > maxDenialBody {
		return fmt.Errorf("%s: the body could become %d bytes long, more than %d; use {{message}} and {{realm}} less often", name, n, maxDenialBody)
	}
	if isForm != nil {
		err = isForm(t)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// longest returns the most bytes that the body can have.
func (t Template) longest(realm int) int {
	n := 0
	for i := range t {
		n += len(t[i].Literal) + [fieldCount]int{
			FieldClass: len("unauthenticated"), FieldStatus: len("401"), FieldTitle: maxTitle,
			FieldMessage: maxEscaped * maxDenialMessage, FieldRequestID: 32, FieldRealm: maxEscaped * realm,
		}[t[i].Field]
	}
	return n
}

// sample fills in the template for a check of its form. The text that stands for the fields is
// valid only where every text is. So if the sample has the right form, the body has it with all
// values. A status is three digits.
func (t Template) sample(text string) string {
	var b strings.Builder
	for i := range t {
		b.WriteString(t[i].Literal)
		switch t[i].Field {
		case FieldNone:
		case FieldStatus:
			b.WriteString("401")
		default:
			b.WriteString(text)
		}
	}
	return b.String()
}

func isJSON(t Template) error {
	var value any
	// An x is wrong outside of quotes, after a backslash and among hexadecimal digits.
	if err := json.Unmarshal([]byte(t.sample("x")), &value); err != nil {
		return fmt.Errorf(`it does not become JSON (%w); fields are written between quotes, as in "id":"{{request_id}}", and only {{status}} may stand without them`, err)
	}
	return nil
}

func isXML(t Template) error {
	// Names cannot have this character, and comments have no reason to.
	const mark = "\uE000"
	sample := t.sample(mark)
	if strings.Contains(sample, "<![CDATA[") {
		return errors.New("it has a CDATA section, in which values would be escaped twice; escape the text instead")
	}
	decoder, depth, roots := xml.NewDecoder(strings.NewReader(sample)), 0, 0
	for {
		token, err := decoder.Token()
		switch {
		case errors.Is(err, io.EOF) && roots == 1:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("it has %d elements that are in no other, XML has one", roots)
		case err != nil:
			return fmt.Errorf("it does not become XML (%w); "+fieldsInXML, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(token)) > 0 {
				return errors.New("it has text outside of its element")
			}
		case xml.Comment:
			if bytes.Contains(token, []byte(mark)) {
				return errors.New("it has a field in a comment; " + fieldsInXML)
			}
		case xml.ProcInst:
			if strings.Contains(token.Target, mark) || bytes.Contains(token.Inst, []byte(mark)) {
				return errors.New("it has a field in a processing instruction; " + fieldsInXML)
			}
		case xml.Directive:
			return errors.New("it has a declaration like <!DOCTYPE>; remove that")
		}
	}
}

const fieldsInXML = "fields are written between tags, or between the quotes of an attribute"
