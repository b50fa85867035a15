package state

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

// A packed is a record as a [View] keeps it: in one string, which takes a third of the
// memory of a Record, and which the garbage collector does not scan.
//
//	key  version  unique keys  tags  length of the document  document, compressed
//
// Numbers are uvarints. A text follows its length, and a list of texts follows its number.
// The document is compressed against all that is before it, and the text of the id.
type packed string

func packRecord(r *Record) packed {
	head := appendText(nil, idKey(r.ID))
	head = binary.AppendUvarint(head, uint64(max(0, r.Version)))
	head = appendTexts(head, r.Unique)
	head = appendTexts(head, r.Tags)
	head = binary.AppendUvarint(head, uint64(len(r.Document)))
	return packed(compress(head, window(r.ID, string(head), len(r.Document)), r.Document))
}

// window is what a document is compressed against, with room for it.
func window(id, head string, document int) []byte {
	w := make([]byte, 0, len(dictionary)+len(id)+len(head)+document)
	return append(append(append(w, dictionary...), id...), head...)
}

func appendText(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

func appendTexts(to []byte, texts []string) []byte {
	to = binary.AppendUvarint(to, uint64(len(texts)))
	for _, t := range texts {
		to = appendText(to, t)
	}
	return to
}

// record unpacks a record of a kind.
func (p packed) record(kind string) *Record {
	c := cursor{p: p}
	r := &Record{Kind: kind, ID: idText(c.text())}
	r.Version, r.Unique, r.Tags = c.number(), c.texts(), c.texts()
	length := c.number()
	r.Document = decompress(window(r.ID, string(p[:c.at]), length), string(p[c.at:]))
	return r
}

// size is about how many bytes the record takes in a checkpoint.
func (p packed) size() int {
	c := cursor{p: p}
	c.text()
	c.number()
	for range 2 {
		for range c.number() {
			c.text()
		}
	}
	length := c.number()
	return c.at + length + overhead
}

// key returns the key of the id, which has the order of the ids.
func (p packed) key() string {
	c := cursor{p: p}
	return c.text()
}

func (p packed) unique() []string {
	c := cursor{p: p}
	c.text()
	c.number()
	return c.texts()
}

func (p packed) tags() []string {
	c := cursor{p: p}
	c.text()
	c.number()
	for range c.number() {
		c.text()
	}
	return c.texts()
}

// A cursor reads a packed. The texts share its memory.
type cursor struct {
	p  packed
	at int
}

func (c *cursor) number() int {
	n, at := number(string(c.p), c.at)
	c.at = at
	return n
}

func (c *cursor) text() string {
	n := c.number()
	c.at += n
	return string(c.p[c.at-n : c.at])
}

func (c *cursor) texts() []string {
	n := c.number()
	if n == 0 {
		return nil
	}
	all := make([]string, n)
	for i := range all {
		all[i] = c.text()
	}
	return all
}

// number reads a uvarint.
func number(s string, at int) (n, next int) {
	for shift := 0; ; shift += 7 {
		b := s[at]
		at++
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			return n, at
		}
	}
}

const keyBytes = 16

// idKey returns the 16 bytes of a UUID, which sort like its text.
func idKey(id string) string {
	if !authz.IsUUID(id) {
		return id // only tests have such ids
	}
	var key [keyBytes]byte
	_, _ = hex.Decode(key[:], []byte(strings.ReplaceAll(id, "-", ""))) // it is a UUID
	return string(key[:])
}

func idText(key string) string {
	if len(key) != keyBytes {
		return key
	}
	var digits [2 * keyBytes]byte
	hex.Encode(digits[:], []byte(key))
	text := make([]byte, 0, 36)
	for i, end := range []int{8, 12, 16, 20, 32} {
		if i > 0 {
			text = append(text, '-')
		}
		text = append(text, digits[len(text)-i:end]...)
	}
	return string(text)
}
