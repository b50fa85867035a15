package envoy

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/vault-authz/vault-authz/authz"
)

// Fuzz with -fuzzminimizetime=1x: the coverage of decoding varies, so that with the default nearly
// all time is spent on minimizing inputs.
//
// For all bytes our decoder and the generated one agree: both refuse them, or both decode the same
// request, with the same decision. The answer, which may contain parts of the request, equals the
// answer with the generated types: an allow or a denial that can be encoded.
func FuzzRead(f *testing.F) {
	seeds := 0
	for _, in := range recorded(f) {
		data, err := proto.Marshal(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		seeds++
	}
	for _, odd := range oddMessages() {
		f.Add(odd.data)
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	decider, of := newDecider(f), newRequestSchema()
	f.Fuzz(func(t *testing.T, data []byte) {
		r, ok := agree(t, of, data)
		if !ok {
			return
		}
		d := decider.Check(t.Context(), &r)
		responded(t, &r, d)
		mustDeny(t, responded(t, &r, denyFor(authz.ReasonWrongSecret)), 401)
		// An allow that cannot be encoded becomes a denial.
		allow := allowAlice()
		for _, header := range r.Headers {
			allow.Upstream.RemoveAlso = append(allow.Upstream.RemoveAlso, header.Name)
			allow.Upstream.Set = append(allow.Upstream.Set, authz.Header{Name: "x-echo", Value: header.Value})
		}
		if out := responded(t, &r, allow); out.GetOkResponse() == nil {
			mustDeny(t, out, 500)
		}
	})
}

// For every Accept header the format is a supported one, and later ranges do not override a first
// one with quality 1.
func FuzzAccept(f *testing.F) {
	seeds := []string{"", "*/*", "text/html", "text/html;q=0.5,*/*;q=0.1", ";q=", "a/b;q=1e309,,", "text/html;q=NaN"}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		got := negotiate(accept, "")
		if got >= formatCount {
			t.Errorf("Accept %q: got %d", accept, got)
		}
		if first := negotiate("text/plain,"+accept, ""); first != formatText {
			t.Errorf("Accept text/plain,%q: got %q: nothing has a quality above 1", accept, first.mediaType())
		}
	})
}
