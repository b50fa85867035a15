package envoy

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A message on the wire is a sequence of fields. A field is a tag (the number of the field and a
// wire type) and a value: a number, or a length and that many bytes. The bytes are a string, raw
// bytes, or a message. A map entry is a message of a key (1) and a value (2). Fields have any order
// and may be repeated: the last value of a scalar field counts, and repeated messages are merged.
// Unknown fields are skipped.
//
// A schema describes a kind of message, so that walk accepts and refuses the same messages as the
// generated decoder. It is compiled from the same descriptors. A compiled schema is immutable.
type schema struct {
	// fields is indexed by number. It does not contain numbers and bytes that are not
	// needed, which are skipped like unknown fields.
	fields [maxFields]field
}

// maxFields is larger than the number of every field of a CheckRequest.
const maxFields = 16

// A field of a schema.
type field struct {
	kind kind
	// part is the part to extract, partNothing for most fields.
	part part
	// message is the schema of the value if that is a message or an entry.
	message *schema
}

// kind is the kind of the bytes of a field.
type kind uint8

const (
	kindBytes kind = iota
	kindText
	kindMessage
	kindEntry
)

// maxDepth is the maximum nesting of messages, as in the generated decoder.
const maxDepth = protowire.DefaultRecursionLimit

// walk reads a message and passes each part to r. ok is false exactly if the generated decoder
// refuses the message. The content of r must be discarded then. The message is a string, so that no
// code can write to it.
func (s *schema) walk(b string, depth int, r *decoder) (ok bool) {
	if depth--; depth < 0 {
		return false
	}
	for len(b) > 0 {
		number, typ, n := consumeTag(b)
		if n <= 0 {
			return false
		}
		b = b[n:]
		// No field has the number 0, so this is not a part.
		f := &s.fields[0]
		if number < maxFields {
			f = &s.fields[number]
		}
		if typ != protowire.BytesType {
			if f.kind == kindEntry && depth == 0 {
				return false
			}
			// Also a known field: with another wire type it is an unknown one.
			if n = protowire.ConsumeFieldValue(protowire.Number(number), typ, bytesOf(b)); n < 0 { //nolint:gosec // consumeTag bounds it
				return false
			}
			b = b[n:]
			continue
		}
		value, n := consumeBytes(b)
		if n <= 0 {
			return false
		}
		b = b[n:]
		switch f.kind {
		case kindBytes:
		case kindText:
			if !utf8.ValidString(value) {
				return false
			}
		case kindMessage, kindEntry:
			if r.plain(f.part, value) {
				continue
			}
			r.begin(f.part)
			if !f.message.walk(value, depth, r) {
				return false
			}
			r.end(f.part)
			continue
		}
		if f.part != partNothing {
			r.values[f.part] = value
		}
	}
	return true
}

// consumeTag reads a tag. n is not positive if there is none.
func consumeTag(b string) (number int, t protowire.Type, n int) {
	if c := b[0]; c < 0x80 {
		return int(c >> 3), protowire.Type(c & 7), min(1, int(c>>3))
	}
	num, t, n := protowire.ConsumeTag(bytesOf(b))
	if num > protowire.MaxValidNumber {
		return 0, 0, -1
	}
	return int(num), t, n
}

// consumeBytes reads a length and that many bytes. n is not positive if there are fewer.
func consumeBytes(b string) (value string, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		if end := 1 + int(b[0]); end <= len(b) {
			return b[1:end], end
		}
		return "", -1
	}
	v, n := protowire.ConsumeBytes(bytesOf(b))
	return text(v), n
}

// A compiler compiles descriptors to schemas.
type compiler struct {
	// parts are the parts to extract, by the names of the fields on their path.
	parts map[string]part
	// plain are the schemas of messages without parts.
	plain map[protoreflect.FullName]*schema
}

// compileSchema returns the schema of a message. It panics if the path of a part does not exist, or
// if a message has a kind of field that walk does not support: such a change of Envoy's API must be
// noticed by the tests.
func compileSchema(of protoreflect.MessageDescriptor, parts map[string]part) *schema {
	c := compiler{parts: map[string]part{}, plain: map[protoreflect.FullName]*schema{}}
	for path, t := range parts {
		c.parts["."+path] = t
	}
	s := c.message(of, "")
	if len(c.parts) > 0 {
		panic(fmt.Sprintf("envoy: %s has no fields %v", of.FullName(), c.parts))
	}
	return s
}

func (c *compiler) message(of protoreflect.MessageDescriptor, path string) *schema {
	s := &schema{}
	if !c.leadsOn(path) {
		if known := c.plain[of.FullName()]; known != nil {
			return known
		}
		c.plain[of.FullName()] = s
	}
	if of.ParentFile().Syntax() != protoreflect.Proto3 || of.ExtensionRanges().Len() > 0 {
		panic(fmt.Sprintf("envoy: %s is not a plain proto3 message", of.FullName()))
	}
	all := of.Fields()
	for i := range all.Len() {
		d := all.Get(i)
		here := path + "." + string(d.Name())
		f := field{part: c.parts[here]}
		switch d.Kind() {
		case protoreflect.StringKind:
			f.kind = kindText
		case protoreflect.MessageKind:
			f.kind = kindMessage
			if d.IsMap() {
				f.kind = kindEntry
			}
			f.message = c.message(d.Message(), here)
		case protoreflect.BytesKind:
		default:
			if d.IsList() {
				panic(fmt.Sprintf("envoy: %s is a list of numbers", d.FullName()))
			}
		}
		delete(c.parts, here)
		if d.Number() >= maxFields {
			panic(fmt.Sprintf("envoy: %s has the number %d", d.FullName(), d.Number()))
		}
		s.fields[d.Number()] = f
	}
	return s
}

// leadsOn says whether a part is below a path.
func (c *compiler) leadsOn(path string) bool {
	for p := range c.parts {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}
