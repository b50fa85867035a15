package envoy

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A message on the wire is a sequence of fields. Each is a tag (the field's
// number and a wire type) and a value: a number, or a length and so many bytes.
// Those bytes are a string, raw bytes, or a message again; an entry of a map is
// a message of a key (1) and a value (2). Fields come in any order, and more
// than once: of a plain field the last one counts, a repeated message is merged.
// Whatever the receiver does not know is skipped.
//
// A schema is what has to be known of one kind of message to walk it exactly as
// the generated decoder does: accept what it accepts, refuse what it refuses. It
// is compiled from the same descriptors. A schema is immutable once compiled.
type schema struct {
	// fields is indexed by number. Numbers, and bytes that mean nothing to us,
	// are not in it: any value will do, as for a field that nobody knows.
	fields [maxFields]field
}

// maxFields is above the number of every field in a CheckRequest.
const maxFields = 16

// A field of a schema.
type field struct {
	kind kind
	// part says what is picked out, partNothing for most.
	part part
	// message is the schema of the value, where that is a message or an entry.
	message *schema
}

// kind is what the bytes of a field are.
type kind uint8

const (
	kindBytes kind = iota
	kindText
	kindMessage
	kindEntry
)

// maxDepth is how deep messages may lie in each other, as for the generated
// decoder.
const maxDepth = protowire.DefaultRecursionLimit

// walk reads one message and hands each part of it that is wanted to r. It is not ok
// exactly if the generated decoder would refuse the message; what r has
// until then is to be thrown away. The message is a string so that nothing can
// write to it.
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
		// No field has the number 0, so this one is no part.
		f := &s.fields[0]
		if number < maxFields {
			f = &s.fields[number]
		}
		if typ != protowire.BytesType {
			if f.kind == kindEntry && depth == 0 {
				return false
			}
			// Also for a field that we know: a wire type that is not its own
			// makes it an unknown one.
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
			r.set(f.part, value)
		}
	}
	return true
}

// consumeTag reads a tag. n is not positive where there is none.
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

// consumeBytes reads a length and so many bytes. n is not positive where there
// are fewer.
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

// A compiler makes schemas of descriptors.
type compiler struct {
	// parts says by the names of the fields that lead to a place what is
	// taken there.
	parts map[string]part
	// plain are the schemas of messages in which nothing is taken.
	plain map[protoreflect.FullName]*schema
}

// compileSchema returns the schema of a message. It panics if a part leads nowhere,
// or if a message has a kind of field that walk does not know: then the reader
// has to be taught, before it ships.
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

// leadsOn says whether something is taken below a path.
func (c *compiler) leadsOn(path string) bool {
	for p := range c.parts {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}
