package authz

import "time"

// A Request is what the decision needs to know of one HTTP request. It holds
// no protobuf type, so that any reader of any wire format can fill it in.
//
// The strings and slices may point into a buffer that is reused after the
// call: nothing in this package keeps them beyond [Authorizer.Check] except
// through the Decision, which the caller must render before it releases them.
type Request struct {
	// HTTP says that the other fields describe an HTTP request. Without it
	// (a TCP connection) there is nothing to authenticate and the request is
	// denied.
	HTTP bool

	Method string
	// Path is the request target as it was received: path and query, with
	// their percent-encoding. Empty for CONNECT without a path.
	Path   string
	Host   string
	Scheme string

	// Headers holds every header in order of arrival, names in lower case,
	// repeated headers as repeated entries. Where the transport joins repeated
	// headers with commas there is one entry with the joined value.
	Headers []Header

	// Body is the request body as far as it was sent along, nil if it was not.
	Body []byte
	// BodyPartial says that Body is known to lack its end.
	BodyPartial bool

	// PolicyName is the name or id of a policy, set by the operator for the
	// route and never by the client. It is empty if the route names no policy, or if it
	// gives an empty name. NamesPolicy says that the name is given though empty: then
	// the request is denied.
	PolicyName  string
	NamesPolicy bool
	// Explain asks for [Decision.Matching], which takes time.
	Explain bool

	// Source is the address of the peer, for the log.
	Source string

	// trial is set if no client makes the request: [Authorizer.Explain] asks how it would be
	// decided.
	trial *trial

	// Received is when the request arrived. It is what the time limits of a
	// credential are held against; the zero time stands for that of the
	// comparison.
	Received time.Time
}

func (r *Request) received() time.Time {
	if r.Received.IsZero() {
		return time.Now()
	}
	return r.Received
}

// A Header is one header field.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// header returns the value of the header called name (lower case) and how
// often it occurs.
func (r *Request) header(name string) (value string, count int) {
	for i := range r.Headers {
		if r.Headers[i].Name == name {
			if count == 0 {
				value = r.Headers[i].Value
			}
			count++
		}
	}
	return value, count
}

// Header returns the value of the header called name (lower case), or "" where
// it is absent or repeated: a repeated header has no one meaning to act on.
func (r *Request) Header(name string) string {
	value, count := r.header(name)
	if count != 1 {
		return ""
	}
	return value
}
