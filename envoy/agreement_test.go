package envoy

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/vault-authz/vault-authz/authz"
)

// agree decodes a message with our decoder and with the generated one. The results must be equal.
func agree(tb testing.TB, of *schema, data []byte) (r authz.Request, ok bool) {
	tb.Helper()
	var in authv3.CheckRequest
	err := proto.Unmarshal(data, &in)
	r, ok = readWire(of, data)
	var found decoder
	if !ok && err == nil && of.walk(text(data), maxDepth, &found) && found.tooManyHeaders {
		// Only this is refused by our decoder and not by the generated one.
		return r, false
	}
	if ok != (err == nil) {
		tb.Fatalf("read: got %t, want what the generated decoder says: %v\n%x", ok, err, data)
	}
	if !ok {
		return r, false
	}
	want := readDecoded(&in)
	// A map has no order.
	mine := r
	mine.Headers = slices.Clone(r.Headers)
	sortHeaders(mine.Headers)
	sortHeaders(want.Headers)
	same := slices.Equal(want.Headers, mine.Headers) && bytes.Equal(want.Body, mine.Body)
	if want.Headers, want.Body, mine.Headers, mine.Body = nil, nil, nil, nil; !same || !reflect.DeepEqual(want, mine) {
		tb.Fatalf("generated %+v, ours %+v\n%x", readDecoded(&in), r, data)
	}
	return r, true
}

// newDecider returns a decider with one credential, whose policy reads tokens in all places.
func newDecider(tb testing.TB) Decider {
	tb.Helper()
	p := authz.DefaultPolicy()
	p.Name, p.Vault, p.Default, p.HideCredentials, p.TokensInBody, p.BodyCredentialsVisible = "orders", "v", true, true, true, true
	digester := authz.NewDigester()
	alice := authz.Consumer{ID: "c0ffee00-0000-4000-8000-000000000001", Username: "alice"}
	source := sourceFunc(func(token string) (authz.Credential, error) {
		if token != "alice-access" {
			return authz.Credential{}, authz.ErrNotFound
		}
		return authz.Credential{AccessToken: token, ConsumerID: alice.ID, Secret: digester.Digest("v", token, "alice-secret")}, nil
	})
	snapshot, err := authz.NewSnapshot([]authz.Policy{p}, []authz.Consumer{alice}, map[string]authz.Source{"v": source})
	if err != nil {
		tb.Fatal(err)
	}
	return authz.New(snapshot, digester, authz.DefaultGrammar())
}

type sourceFunc func(string) (authz.Credential, error)

func (f sourceFunc) Lookup(_ context.Context, token string) (authz.Credential, error) {
	return f(token)
}

// The parts of messages.

func bytesField(number protowire.Number, value ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), slices.Concat(value...))
}

func textField(number protowire.Number, value string) []byte {
	return bytesField(number, []byte(value))
}

func varintField(number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value)
}

func attributes(fields ...[]byte) []byte { return bytesField(1, fields...) }
func onlyHTTP(fields ...[]byte) []byte   { return bytesField(4, bytesField(2, fields...)) }
func httpMessage(fields ...[]byte) []byte {
	return attributes(onlyHTTP(fields...))
}

func entryOf(name, value string) []byte {
	return slices.Concat(textField(1, name), textField(2, value))
}

// overlong writes a varint with more bytes than necessary.
func overlong(x byte, length int) []byte {
	out := append([]byte{x | 0x80}, bytes.Repeat([]byte{0x80}, length-2)...)
	return append(out, 0)
}

// nested returns a request with metadata of a depth:
// metadata_context.filter_metadata["a"].fields["b"].struct_value.fields…
func nested(depth int) []byte {
	var w writer
	w.number(valueBool, 1)
	return enclosed(&w, depth)
}

// nestedNumber is the same with a number in nested lists instead of the last entry of a struct: a
// list is two messages deep, an entry three.
func nestedNumber(depth, lists int) []byte {
	var w writer
	w.number(1, 7)
	w.enclose(valueStruct, 0)
	for range lists {
		w.enclose(1, 0)
		w.enclose(valueList, 0)
	}
	return enclosed(&w, depth)
}

func enclosed(w *writer, depth int) []byte {
	for range depth {
		w.entry("b", 0)
		w.enclose(valueStruct, 0)
	}
	w.entry("b", 0)
	w.enclose(entryValue, 0)
	w.text(entryKey, "a")
	w.enclose(1, 0)
	w.enclose(11, 0)
	w.enclose(1, 0)
	return w.written()
}

type oddMessage struct {
	name string
	data []byte
}

// oddMessages are messages about which decoders are known to disagree.
func oddMessages() []oddMessage {
	get := textField(2, "GET")
	return []oddMessage{
		{"nothing", nil},
		{"no HTTP request", attributes()},
		{"an empty HTTP request", httpMessage()},
		{"a policy without a name", attributes(onlyHTTP(get), bytesField(10, textField(1, "policy")))},
		{"a policy with an empty name, after another", attributes(onlyHTTP(get), bytesField(10, entryOf("policy", "p")), bytesField(10, entryOf("policy", "")))},
		{"a policy, and a question about all", attributes(onlyHTTP(get), bytesField(10, entryOf("policy", "p")), bytesField(10, entryOf("explain", "")))},
		{"a field twice", httpMessage(get, textField(2, "PUT"))},
		{"a field twice, then empty", httpMessage(get, textField(2, ""))},
		{"attributes twice", slices.Concat(httpMessage(get), httpMessage(textField(4, "/p")))},
		{"the request twice", attributes(onlyHTTP(get), onlyHTTP(textField(4, "/p")))},
		{"HTTP twice, then empty", attributes(bytesField(4, bytesField(2, get), bytesField(2)))},
		{"a number in place of the request", attributes(onlyHTTP(get), varintField(4, 7))},
		{"a number in place of a string", httpMessage(get, varintField(2, 7))},
		{"fixed numbers in place of strings", httpMessage(
			protowire.AppendFixed32(protowire.AppendTag(nil, 4, protowire.Fixed32Type), 7),
			protowire.AppendFixed64(protowire.AppendTag(nil, 5, protowire.Fixed64Type), 7), get)},
		{"a string in place of a number", httpMessage(textField(9, "\xff"), get)},
		{"unknown fields", slices.Concat(textField(99, "\xff"), httpMessage(get, textField(1000, "\xff"), varintField(15, 1)))},
		{"a field with the largest number", httpMessage(get, textField(protowire.MaxValidNumber, "x"))},
		{"a field with too large a number", httpMessage(get, protowire.AppendVarint(nil, uint64(protowire.MaxValidNumber+1)<<3|2), []byte{0})},
		{"a field with number 0", httpMessage(get, []byte{2, 0})},
		{"a field with number 0, over-long", httpMessage(get, []byte{0x82, 0, 0})},
		{"wire type 6", httpMessage(get, []byte{0x16})},
		{"wire type 7", httpMessage(get, []byte{0x17})},
		{"a group", httpMessage(get, []byte{0x7b, 0x08, 1, 0x7c})},
		{"a group in place of a string", httpMessage([]byte{0x13, 0x08, 1, 0x14}, get)},
		{"a group in a group", httpMessage([]byte{0x7b, 0x0b, 0x0c, 0x7c}, get)},
		{"a group that does not end", httpMessage(get, []byte{0x7b, 0x08, 1})},
		{"a group with the end of another", httpMessage(get, []byte{0x7b, 0x84, 1})},
		{"the end of no group", httpMessage(get, []byte{0x7c})},
		{"an over-long tag", httpMessage(append([]byte{0x92, 0x80, 0x80, 0}, "\x03PUT"...))},
		{"an over-long length", httpMessage(append(append([]byte{0x12}, overlong(3, 5)...), "PUT"...))},
		{"a length in ten bytes", httpMessage(append(append([]byte{0x12}, overlong(3, 10)...), "PUT"...))},
		{"a length in eleven bytes", httpMessage(append(append([]byte{0x12}, overlong(3, 11)...), "PUT"...))},
		{"a length beyond 64 bits", httpMessage(append([]byte{0x12}, bytes.Repeat([]byte{0xff}, 9)...), []byte{0x7f})},
		{"a length that is negative", httpMessage(append([]byte{0x12}, protowire.AppendVarint(nil, 1<<63)...))},
		{"a length beyond the end", httpMessage([]byte{0x12, 4, 'P', 'U', 'T'})},
		{"a length beyond the end of the message, not of the buffer", slices.Concat(attributes(onlyHTTP([]byte{0x12, 9, 'P', 'U', 'T'})), bytes.Repeat([]byte{0x78}, 20))},
		{"a tag without a value", httpMessage([]byte{0x12})},
		{"half a tag", httpMessage([]byte{0x92})},
		{"a string that is not UTF-8", httpMessage(textField(2, "\xff"))},
		{"a string that we do not need and that is not UTF-8", httpMessage(get, textField(10, "\xff"))},
		{"a principal that is not UTF-8", slices.Concat(httpMessage(get), attributes(bytesField(1, textField(4, "\xff"))))},
		{"a destination that is not UTF-8", slices.Concat(httpMessage(get), attributes(bytesField(2, bytesField(1, bytesField(1, textField(2, "\xff"))))))},
		{"raw bytes that are not UTF-8", httpMessage(get, textField(12, "\xff"), bytesField(13, bytesField(1, textField(1, "a"), textField(3, "\xff"))))},
		{"a header name that is not UTF-8", httpMessage(get, bytesField(3, entryOf("\xff", "v")))},
		{"a header value that is not UTF-8", httpMessage(get, bytesField(3, entryOf("a", "\xff")))},
		{"a header twice in the map", httpMessage(get, bytesField(3, entryOf("a", "1")), bytesField(3, entryOf("b", "2")), bytesField(3, entryOf("a", "3")))},
		{"headers that differ in case", httpMessage(get, bytesField(3, entryOf("a", "1")), bytesField(3, entryOf("A", "2")))},
		{"an entry without a name", httpMessage(bytesField(3, textField(2, "v")), bytesField(3, entryOf("b", "")))},
		{"an entry without a value", httpMessage(bytesField(3, textField(1, "a")), bytesField(3))},
		{"an entry with the value first", httpMessage(bytesField(3, textField(2, "v"), textField(1, "a")))},
		{"an entry with several names and values", httpMessage(bytesField(3, entryOf("a", "1"), entryOf("b", "2"), textField(1, "c")))},
		{"an entry with more in it", httpMessage(bytesField(3, entryOf("a", "1"), textField(3, "\xff"), []byte{0x1b, 0x1c}, varintField(1, 1), varintField(2, 2)))},
		{"an entry with the end of no group", httpMessage(bytesField(3, entryOf("a", "1"), []byte{0x0c}))},
		{"a number in place of an entry", httpMessage(varintField(3, 1), bytesField(3, entryOf("a", "1")))},
		{"both forms of headers", httpMessage(bytesField(3, entryOf("a", "1")), bytesField(13, bytesField(1, entryOf("b", "2"))))},
		{"an empty header_map", httpMessage(bytesField(3, entryOf("a", "1")), bytesField(13))},
		{"header_map twice", httpMessage(bytesField(13, bytesField(1, entryOf("a", "1"))), bytesField(13, bytesField(1, entryOf("a", "2"))))},
		{"value and raw_value", httpMessage(bytesField(13, bytesField(1, entryOf("a", "1"), textField(3, "2"))))},
		{"raw_value, then empty", httpMessage(bytesField(13, bytesField(1, entryOf("a", "1"), textField(3, "2"), textField(3, ""))))},
		{"pseudo headers", httpMessage(bytesField(3, entryOf(":path", "/lie")), bytesField(3, entryOf("", "v")))},
		{"both forms of a body", httpMessage(textField(11, "body"), textField(12, "raw"))},
		{"a policy twice", attributes(onlyHTTP(), bytesField(10, entryOf("policy", "a")), bytesField(10, entryOf("policy", "b")))},
		{"a policy, then one without a value", attributes(onlyHTTP(), bytesField(10, entryOf("policy", "a")), bytesField(10, textField(1, "policy")))},
		{"a socket, then a pipe", attributes(bytesField(1, bytesField(1, bytesField(1, textField(2, "1.2.3.4")), bytesField(2, textField(1, "/p")))))},
		{"a pipe, then a socket", attributes(bytesField(1, bytesField(1, bytesField(2, textField(1, "/p")), bytesField(1, textField(2, "1.2.3.4")))))},
		{"a pipe, then an empty socket", attributes(bytesField(1, bytesField(1, bytesField(2, textField(1, "/p")), bytesField(1))))},
		{"a socket in two parts", attributes(bytesField(1, bytesField(1, bytesField(1, textField(2, "1.2.3.4")), bytesField(1, varintField(3, 80)))))},
		{"a socket, an internal address, a socket", attributes(bytesField(1, bytesField(1, bytesField(1, textField(2, "1.2.3.4")), bytesField(3), bytesField(1, varintField(3, 80)))))},
		{"a pipe, then an internal address", attributes(bytesField(1, bytesField(1, bytesField(2, textField(1, "/p")), bytesField(3))))},
		{"a socket, then a number in place of a pipe", attributes(bytesField(1, bytesField(1, bytesField(1, textField(2, "1.2.3.4")), varintField(2, 1))))},
		{"metadata", slices.Concat(nested(3), httpMessage(get))},
		{"metadata that is not UTF-8", attributes(bytesField(11, bytesField(1, textField(1, "a"), bytesField(2, bytesField(1, textField(1, "b"), bytesField(2, textField(3, "\xff")))))))},
		{"metadata in two parts of one entry", attributes(bytesField(13, bytesField(1, textField(1, "a"), bytesField(2), bytesField(2, []byte{0x7c}))))},
		{"metadata with a number in place of a struct", attributes(bytesField(13, bytesField(1, textField(1, "a"), varintField(2, 1))))},
		{"typed metadata that is not UTF-8 inside", attributes(bytesField(11, bytesField(2, textField(1, "a"), bytesField(2, textField(1, "t"), textField(2, "\xff")))))},
		{"an empty TLS session", attributes(bytesField(12), onlyHTTP(get))},
		{"a server name that is not UTF-8", attributes(bytesField(12, textField(1, "\xff")), onlyHTTP(get))},
	}
}

func TestTheDecoderAgreesAboutEveryFieldNumber(t *testing.T) {
	t.Parallel()
	of := newRequestSchema()
	for number := protowire.Number(1); number <= 2*maxFields; number++ {
		for kind, field := range map[string][]byte{
			"text":        textField(number, "x"),
			"odd text":    textField(number, "\xff"),
			"nothing":     textField(number, ""),
			"a number":    varintField(number, 5),
			"a long one":  varintField(number, 1<<40),
			"fixed":       protowire.AppendFixed32(protowire.AppendTag(nil, number, protowire.Fixed32Type), 7),
			"fixed, long": protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), 7),
		} {
			for place, data := range map[string][]byte{
				"request":    slices.Concat(field, httpMessage(textField(2, "GET"))),
				"attributes": attributes(field, onlyHTTP(textField(2, "GET"))),
				"http":       httpMessage(field, textField(4, "/")),
				"entry":      httpMessage(bytesField(3, field, entryOf("a", "1")), textField(4, "/")),
				"header":     httpMessage(bytesField(13, bytesField(1, field, textField(1, "a"))), textField(4, "/")),
			} {
				t.Run(fmt.Sprintf("%s %d in %s", kind, number, place), func(t *testing.T) { agree(t, of, data) })
			}
		}
	}
}

func TestAReplacedHeaderIsDroppedWhateverIsInBetween(t *testing.T) {
	t.Parallel()
	for first := 'a'; first <= 'z'; first++ {
		for second := 'a'; second <= 'z'; second++ {
			a, b := "aa", string([]rune{first, second})
			if a == b {
				continue
			}
			headers := []authz.Header{{Name: a, Value: "1"}, {Name: b, Value: "2"}, {Name: a, Value: "3"}}
			if got := lastOfEach(slices.Clone(headers), []string{a, b, a}); !slices.Equal(got, headers[1:]) {
				t.Errorf("with %q between: got %v", b, got)
			}
		}
	}
}

func TestTheDecoderAgreesWithTheGeneratedOne(t *testing.T) {
	t.Parallel()
	of := newRequestSchema()
	read := 0
	for _, test := range oddMessages() {
		t.Run(test.name, func(t *testing.T) { agree(t, of, test.data) })
		if _, ok := readWire(of, test.data); ok {
			read++
		}
	}
	if refused := len(oddMessages()) - read; read < 20 || refused < 15 {
		t.Errorf("%d messages were decoded and %d refused: the cases no longer match their names", read, refused)
	}
	for name, in := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := marshal(t, in)
			if r, ok := agree(t, of, data); !ok || !r.HTTP && name != "tcp-filter" {
				t.Errorf("got %+v, %t", r, ok)
			}
			for end := range data {
				agree(t, of, data[:end])
			}
		})
	}
}

func TestTheDecoderHasTheDepthLimitOfTheGeneratedOne(t *testing.T) {
	t.Parallel()
	deepest := 0
	for depth := maxDepth/3 - 5; depth < maxDepth/3+5; depth++ {
		if _, ok := agree(t, newRequestSchema(), nested(depth)); ok {
			deepest = depth
		}
		for lists := range 3 {
			agree(t, newRequestSchema(), nestedNumber(depth, lists))
		}
	}
	if deepest == 0 || deepest == maxDepth/3+4 {
		t.Errorf("the deepest decoded message: %d; the limit is not among those tried", deepest)
	}
}

func TestMapsWithMoreEntriesThanMaxComparedAreDecodedTheSame(t *testing.T) {
	t.Parallel()
	for _, n := range []int{maxCompared - 1, maxCompared, maxCompared + 1, 4 * maxCompared} {
		var fields [][]byte
		for i := range n {
			fields = append(fields, bytesField(3, entryOf(strings.Repeat("n", i/2+1), strings.Repeat("v", i%7))))
		}
		r, ok := agree(t, newRequestSchema(), httpMessage(fields...))
		if want := (n + 1) / 2; !ok || len(r.Headers) != want {
			t.Errorf("%d entries of which every second replaces one: got %d headers, want %d", n, len(r.Headers), want)
		}
	}
}
