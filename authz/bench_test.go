package authz

import "testing"

func BenchmarkCheck(b *testing.B) {
	browser := func(r *Request) *Request {
		for _, name := range []string{
			"accept", "accept-encoding", "accept-language", "cache-control", "cookie", "origin", "referer", "user-agent",
			"x-forwarded-for", "x-forwarded-proto", "x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled",
		} {
			r.Headers = append(r.Headers, Header{name, "0123456789abcdef0123456789abcdef"})
		}
		return r
	}
	for _, bench := range []struct {
		name    string
		request *Request
		allowed bool
	}{
		{"hit", browser(good()), true},
		{"hit in the query", browser(get("/orders?access_token=foo&page=2&secret_token=supersecretvalue")), true},
		{"wrong secret", browser(get("/", "access_token", "foo", "secret_token", "x")), false},
		{"unknown", browser(get("/", "access_token", "bar", "secret_token", "x")), false},
		{"missing", browser(get("/")), false},
	} {
		b.Run(bench.name, func(b *testing.B) {
			a := newBench(b, nil)
			b.ReportAllocs()
			for b.Loop() {
				if d := a.Check(b.Context(), bench.request); d.Allowed != bench.allowed {
					b.Fatalf("allowed: got %t, want %t (%s)", d.Allowed, bench.allowed, d.Reason)
				}
				a.source.asked = a.source.asked[:0]
			}
		})
	}
}
