package envoy

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/vault-authz/vault-authz/authz"
)

// policyExtension is the context extension that names the policy of a route.
const policyExtension = "policy"

// partialBody is the header by which Envoy says whether it sent all of a body.
// A client's own copy never arrives: Envoy drops it.
const partialBody = "x-envoy-auth-partial-body"

// take is one thing to take from a CheckRequest.
type take uint8

const (
	takeNothing take = iota
	takeSocket
	takeSocketAddress
	takePipe
	takePipePath
	takeInternal
	takeExtension
	takeExtensionName
	takeExtensionValue
	takeHTTP
	takeMethod
	takePath
	takeHost
	takeScheme
	takeBody
	takeRawBody
	takeHeader
	takeHeaderName
	takeHeaderValue
	takeRawHeader
	takeRawHeaderName
	takeRawHeaderValue
	takeRawHeaderBytes
)

// newRequestShape returns the shape of a CheckRequest, with all that a decision
// needs of it. Method, path, host and scheme come from their own fields:
// operators may keep the pseudo headers from us, and context extensions only
// from the route, never from the client.
func newRequestShape() *shape {
	return compileShape((*authv3.CheckRequest)(nil).ProtoReflect().Descriptor(), map[string]take{
		"attributes.source.address.socket_address":             takeSocket,
		"attributes.source.address.socket_address.address":     takeSocketAddress,
		"attributes.source.address.pipe":                       takePipe,
		"attributes.source.address.pipe.path":                  takePipePath,
		"attributes.source.address.envoy_internal_address":     takeInternal,
		"attributes.context_extensions":                        takeExtension,
		"attributes.context_extensions.key":                    takeExtensionName,
		"attributes.context_extensions.value":                  takeExtensionValue,
		"attributes.request.http":                              takeHTTP,
		"attributes.request.http.method":                       takeMethod,
		"attributes.request.http.path":                         takePath,
		"attributes.request.http.host":                         takeHost,
		"attributes.request.http.scheme":                       takeScheme,
		"attributes.request.http.body":                         takeBody,
		"attributes.request.http.raw_body":                     takeRawBody,
		"attributes.request.http.headers":                      takeHeader,
		"attributes.request.http.headers.key":                  takeHeaderName,
		"attributes.request.http.headers.value":                takeHeaderValue,
		"attributes.request.http.header_map.headers":           takeRawHeader,
		"attributes.request.http.header_map.headers.key":       takeRawHeaderName,
		"attributes.request.http.header_map.headers.value":     takeRawHeaderValue,
		"attributes.request.http.header_map.headers.raw_value": takeRawHeaderBytes,
	})
}

// A reading is what was taken from one CheckRequest. Its bytes are those of the
// message: they are good as long as the message is. It is not safe for
// concurrent use, and may be used again after reset.
type reading struct {
	http                       bool
	method, path, host, scheme []byte
	body, rawBody              []byte
	socket, pipe               []byte
	address                    take
	// extensions, headers and rawHeaders are in the order of the wire.
	extensions, headers []pair
	rawHeaders          []pair
	// crowded is set when there are more of them than anybody needs.
	crowded bool
}

// A pair is an entry of a map or list of names and values.
type pair struct{ name, value, raw []byte }

// reset forgets everything but the memory.
func (r *reading) reset() {
	*r = reading{extensions: emptied(r.extensions), headers: emptied(r.headers), rawHeaders: emptied(r.rawHeaders)}
}

// maxPairs is how many headers, and how many context extensions, are read of a
// request: far more than Envoy lets through. An entry takes up to fifty times its
// size on the wire.
const maxPairs = 4096

// another makes room for one more pair.
func (r *reading) another(pairs []pair) []pair {
	if len(pairs) == maxPairs {
		r.crowded = true
		return pairs
	}
	return append(pairs, pair{})
}

// take takes one field. Those that begin a message come before what is in it.
func (r *reading) take(what take, value []byte) {
	switch what {
	case takeNothing:
	case takeSocket, takePipe, takeInternal:
		// Of the kinds of address the last one counts, and drops the others.
		if r.address != what {
			r.address, r.socket, r.pipe = what, nil, nil
		}
	case takeSocketAddress:
		r.socket = value
	case takePipePath:
		r.pipe = value
	case takeHTTP:
		r.http = true
	case takeMethod:
		r.method = value
	case takePath:
		r.path = value
	case takeHost:
		r.host = value
	case takeScheme:
		r.scheme = value
	case takeBody:
		r.body = value
	case takeRawBody:
		r.rawBody = value
	case takeExtension:
		r.extensions = r.another(r.extensions)
	case takeExtensionName:
		r.extensions[len(r.extensions)-1].name = value
	case takeExtensionValue:
		r.extensions[len(r.extensions)-1].value = value
	case takeHeader:
		r.headers = r.another(r.headers)
	case takeHeaderName:
		r.headers[len(r.headers)-1].name = value
	case takeHeaderValue:
		r.headers[len(r.headers)-1].value = value
	case takeRawHeader:
		r.rawHeaders = r.another(r.rawHeaders)
	case takeRawHeaderName:
		r.rawHeaders[len(r.rawHeaders)-1].name = value
	case takeRawHeaderValue:
		r.rawHeaders[len(r.rawHeaders)-1].value = value
	case takeRawHeaderBytes:
		r.rawHeaders[len(r.rawHeaders)-1].raw = value
	}
}

// request writes what was read into out, whose slice of headers it uses again.
// The strings share the memory of the message.
func (r *reading) request(out *authz.Request) {
	*out = authz.Request{
		HTTP:    r.http,
		Method:  text(r.method),
		Path:    text(r.path),
		Host:    text(r.host),
		Scheme:  text(r.scheme),
		Headers: emptied(out.Headers),
	}
	out.Source = text(r.socket)
	if r.address == takePipe {
		out.Source = text(r.pipe)
	}
	for i := range r.extensions {
		if string(r.extensions[i].name) == policyExtension {
			out.PolicyName = text(r.extensions[i].value)
		}
	}
	if !r.http {
		return
	}
	r.appendHeaders(out)
	if out.Body = r.rawBody; len(out.Body) == 0 {
		out.Body = r.body
	}
	out.BodyPartial = incomplete(out)
}

// appendHeaders reads whichever of the two forms Envoy used: header_map with
// encode_raw_headers, where repeated headers stay apart and bytes untouched, or
// headers, where repeated ones are joined with commas.
func (r *reading) appendHeaders(out *authz.Request) {
	all := r.rawHeaders
	if len(all) == 0 {
		all = lastOfEach(r.headers)
	}
	for i := range all {
		h := &all[i]
		if len(h.name) > 0 && h.name[0] == ':' {
			continue
		}
		value := h.value
		if len(h.raw) > 0 {
			value = h.raw
		}
		out.Headers = append(out.Headers, authz.Header{Name: strings.ToLower(text(h.name)), Value: text(value)})
	}
}

// maxCompared bounds how many entries of a map are compared with each other
// before they are sorted instead.
const maxCompared = 128

// lastOfEach drops the entries of a map that a later one of the same name
// replaces. Envoy never sends such; the generated decoder would drop them.
func lastOfEach(entries []pair) []pair {
	if len(entries) > maxCompared {
		return compacted(entries)
	}
	// One bit for each length and last letter tells most names apart.
	var seen [4]uint64
	for i := range entries {
		name := entries[i].name
		bit := len(name)
		if bit > 0 {
			bit += int(name[bit-1]) * 7
		}
		word, mask := &seen[bit/64%4], uint64(1)<<(bit%64)
		if *word&mask != 0 && slices.ContainsFunc(entries[:i], func(p pair) bool { return bytes.Equal(p.name, name) }) {
			return compacted(entries)
		}
		*word |= mask
	}
	return entries
}

func compacted(entries []pair) []pair {
	slices.SortStableFunc(entries, func(a, b pair) int { return bytes.Compare(a.name, b.name) })
	kept := entries[:0]
	for i := range entries {
		if i+1 == len(entries) || !bytes.Equal(entries[i].name, entries[i+1].name) {
			kept = append(kept, entries[i])
		}
	}
	return kept
}

// text is b as a string, without a copy: it is good as long as the message is,
// and nobody writes to that.
func text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // not to copy is the point
}

// incomplete says whether a body may lack its end. Envoy's own word is not
// enough: it says "false" when its buffer is exactly full and more is to come.
// Only a content-length tells, so a body without one counts as incomplete.
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
