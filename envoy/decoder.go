package envoy

import (
	"cmp"
	"slices"
	"strconv"
	"unsafe"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/vault-authz/vault-authz/authz"
)

// The context extensions in use: the one that names the policy of a route, and the one with which
// [Ask] asks for all policies that match.
const (
	policyExtension  = "policy"
	explainExtension = "explain"
)

// partialBody is the header with which Envoy says whether it sent a whole body. Envoy drops a
// header of this name from a client.
const partialBody = "x-envoy-auth-partial-body"

// A part is a part of a CheckRequest that a decision needs.
type part uint8

const (
	partNothing part = iota
	// Messages.
	partSocket
	partPipe
	partInternal
	partHTTP
	// Entries, of a map or a list.
	partExtension
	partHeader
	partRawHeader
	// What is in them.
	partSocketAddress
	partPipePath
	partMethod
	partPath
	partHost
	partScheme
	partBody
	partRawBody
	partName
	partValue
	partRaw
	partCount
)

// newRequestSchema returns the schema of a CheckRequest with all parts that a decision needs.
// Method, path, host and scheme come from their own fields, because operators may exclude pseudo
// headers. Context extensions come from the route, never from the client.
func newRequestSchema() *schema {
	return compileSchema((*authv3.CheckRequest)(nil).ProtoReflect().Descriptor(), map[string]part{
		"attributes.source.address.socket_address":             partSocket,
		"attributes.source.address.socket_address.address":     partSocketAddress,
		"attributes.source.address.pipe":                       partPipe,
		"attributes.source.address.pipe.path":                  partPipePath,
		"attributes.source.address.envoy_internal_address":     partInternal,
		"attributes.context_extensions":                        partExtension,
		"attributes.context_extensions.key":                    partName,
		"attributes.context_extensions.value":                  partValue,
		"attributes.request.http":                              partHTTP,
		"attributes.request.http.method":                       partMethod,
		"attributes.request.http.path":                         partPath,
		"attributes.request.http.host":                         partHost,
		"attributes.request.http.scheme":                       partScheme,
		"attributes.request.http.body":                         partBody,
		"attributes.request.http.raw_body":                     partRawBody,
		"attributes.request.http.headers":                      partHeader,
		"attributes.request.http.headers.key":                  partName,
		"attributes.request.http.headers.value":                partValue,
		"attributes.request.http.header_map.headers":           partRawHeader,
		"attributes.request.http.header_map.headers.key":       partName,
		"attributes.request.http.header_map.headers.value":     partValue,
		"attributes.request.http.header_map.headers.raw_value": partRaw,
	})
}

// A decoder decodes a CheckRequest. Its strings share the memory of the message, and are valid as
// long as the message is. It is not safe for concurrent use, and can be reused after reset.
type decoder struct {
	// values are the strings and bytes of a request, and, with the name, the value and the raw
	// value, of the current entry of a map or a list.
	values [partCount]string
	http   bool
	policy string
	// namesPolicy says that the route names a policy, which may be empty.
	namesPolicy, explain bool
	// address is the kind of the last address.
	address part

	// headers and rawHeaders are in the order of the wire, without pseudo headers. names
	// are the original names of headers.
	headers, rawHeaders []authz.Header
	names               []string
	// raw says that there is a list of raw headers, even if all of them are pseudo headers.
	raw bool
	// tooManyHeaders says that there are more than maxHeaders.
	tooManyHeaders bool
}

// maxHeaders is the maximum number of headers of a request, far above the limit of Envoy. A header
// needs up to twenty times its size on the wire.
const maxHeaders = 4096

// reset clears the decoder and keeps its memory.
func (r *decoder) reset() {
	*r = decoder{headers: emptied(r.headers), rawHeaders: emptied(r.rawHeaders), names: emptied(r.names)}
}

// begin is called before the fields of a message.
func (r *decoder) begin(what part) {
	switch what {
	case partSocket, partPipe, partInternal:
		// The last kind of address (oneof) replaces the others.
		if r.address != what {
			r.address, r.values[partSocketAddress], r.values[partPipePath] = what, "", ""
		}
	case partHTTP:
		r.http = true
	case partExtension, partHeader, partRawHeader:
		r.values[partName], r.values[partValue], r.values[partRaw] = "", "", ""
	default:
	}
}

// isEntry says whether a part is an entry of a map or a list.
func (t part) isEntry() bool { return t >= partExtension && t <= partRawHeader }

// end is called after the fields of a message.
func (r *decoder) end(what part) {
	if !what.isEntry() {
		return
	}
	name := r.values[partName]
	r.add(what, name, lowerCase(name), cmp.Or(r.values[partRaw], r.values[partValue]))
}

// plain decodes an entry by [fastPath], if that accepts it.
func (r *decoder) plain(what part, entry string) bool {
	if !what.isEntry() {
		return false
	}
	name, value, ok := fastPath(what, entry)
	if ok {
		r.add(what, name, name, value)
	}
	return ok
}

// add adds an entry. lower is its name in lower case.
func (r *decoder) add(what part, name, lower, value string) {
	switch what {
	case partExtension:
		switch name {
		case policyExtension:
			r.policy, r.namesPolicy = value, true
		case explainExtension:
			r.explain = true
		}
	case partRawHeader:
		r.raw = true
		if !isPseudo(name) {
			r.rawHeaders = r.appendHeader(r.rawHeaders, lower, value)
		}
	default:
		if !isPseudo(name) {
			r.names = append(r.names, name)
			r.headers = r.appendHeader(r.headers, lower, value)
		}
	}
}

// isPseudo says whether a header stands for a part of the request, which has a field of
// its own.
func isPseudo(name string) bool { return name != "" && name[0] == ':' }

func (r *decoder) appendHeader(to []authz.Header, name, value string) []authz.Header {
	if len(to) == maxHeaders {
		r.tooManyHeaders = true
		r.names = r.names[:min(len(r.names), maxHeaders)]
		return to
	}
	return append(to, authz.Header{Name: name, Value: value})
}

// request writes the result into out, which shares the headers.
func (r *decoder) request(out *authz.Request) {
	*out = authz.Request{
		HTTP:        r.http,
		Method:      r.values[partMethod],
		Path:        r.values[partPath],
		Host:        r.values[partHost],
		Scheme:      r.values[partScheme],
		PolicyName:  r.policy,
		NamesPolicy: r.namesPolicy,
		Explain:     r.explain,
		Source:      cmp.Or(r.values[partSocketAddress], r.values[partPipePath]),
	}
	if !r.http {
		return
	}
	// Envoy uses one of two forms: header_map with encode_raw_headers, with separate
	// repeated headers and unchanged bytes, or headers, with repeated headers joined by
	// commas.
	out.Headers = r.rawHeaders
	if !r.raw {
		out.Headers = lastOfEach(r.headers, r.names)
	}
	out.Body = bytesOf(cmp.Or(r.values[partRawBody], r.values[partBody]))
	out.BodyPartial = incomplete(out)
}

// maxCompared is the number of names up to which names are compared with each other. For more
// names a map is used.
const maxCompared = 128

// lastOfEach removes headers that a later one with the same name replaces, as the generated
// decoder does. Envoy never sends such headers.
func lastOfEach(headers []authz.Header, names []string) []authz.Header {
	if len(names) > maxCompared {
		return compacted(headers, names)
	}
	// A bit for each length and end distinguishes most names.
	var seen [16]uint64
	for i, name := range names {
		bit := fingerprint(name)
		word, mask := &seen[bit/64%16], uint64(1)<<(bit%64)
		if *word&mask != 0 && slices.Contains(names[:i], name) {
			return compacted(headers, names)
		}
		*word |= mask
	}
	return headers
}

// fingerprint returns the same value for the same name, and rarely for other names.
func fingerprint(name string) uint {
	n := uint(len(name))
	if n < 2 {
		return n
	}
	return n + 11*uint(name[n-1]) + 101*uint(name[n-2]) + 7*uint(name[n/2])
}

func compacted(headers []authz.Header, names []string) []authz.Header {
	last := make(map[string]int, len(names))
	for i, name := range names {
		last[name] = i
	}
	kept := headers[:0]
	for i, name := range names {
		if last[name] == i {
			kept = append(kept, headers[i])
		}
	}
	return kept
}

// lowerCase returns a name with its ASCII letters in lower case. Other letters, some of which are
// "k" and "i" in lower case, do not change.
func lowerCase(name string) string {
	if isLowerCase(name) {
		return name
	}
	lower := []byte(name)
	for i, c := range lower {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return text(lower)
}

// text and bytesOf convert without a copy. The memory must not be written to.

func text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // not to copy is the point
}

func bytesOf(s string) []byte {
	return unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // not to copy is the point
}

// incomplete says whether a body may be truncated. The header of Envoy is not enough: it is
// "false" if the buffer is exactly full and the rest of the body is still to come. Only a
// content-length shows that, so a body without one counts as incomplete.
func incomplete(r *authz.Request) bool {
	if len(r.Body) == 0 {
		return false
	}
	given := 0
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Name {
		case partialBody:
			if h.Value != "false" {
				return true
			}
		case "content-length":
			given++
			if n, err := strconv.ParseUint(h.Value, 10, 63); err != nil || n != uint64(len(r.Body)) {
				return true
			}
		}
	}
	return given != 1
}
