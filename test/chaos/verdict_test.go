package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
)

// quietTrial returns a trial without bad results: the fault lasts from 10 s to 20 s, the
// trial until 30 s.
func quietTrial(requests ...request) *trial {
	t := &trial{
		fault: fault{name: "some fault"}, testbed: &testbed{front: &front{}}, traffic: &traffic{},
		timestamps: timestamps{steady: at(5), broken: at(10), mending: at(20), mended: at(21), over: at(30)},
		before:     footprint{goroutines: 20}, after: footprint{goroutines: 60, connections: 20},
	}
	t.traffic.requests = append(requests, request{class: cached, due: at(12), outcome: allowed}, request{class: uncached, due: at(12), outcome: unavailable},
		request{class: expiring, pair: pair{expires: at(15)}, due: at(12), outcome: allowed})
	for _, c := range []class{cachedWrongSecret, uncachedWrongSecret, unknown, revoked} {
		t.traffic.requests = append(t.traffic.requests, request{class: c, due: at(12), outcome: denied})
	}
	for i := 500; i < 3000; i++ {
		t.testbed.front.count.requests = append(t.testbed.front.count.requests, vaultRequest{at: at(float64(i) / 100)})
	}
	return t
}

func at(seconds float64) time.Time {
	return time.Unix(1_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// TestATableShowsWhatIsWrong changes one result at a time: only its cell must be bad.
func TestATableShowsWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := pair{expires: at(15)}
	tests := []struct {
		name    string
		request request
		spoil   func(*trial)
		bad     []string
	}{
		{"nothing", request{class: cachedWrongSecret, due: at(12), outcome: denied}, nil, nil},
		{"a wrong secret unavailable", request{class: uncachedWrongSecret, due: at(12), outcome: unavailable}, nil, nil},
		{"a wrong secret allowed", request{class: cachedWrongSecret, due: at(12), outcome: allowed}, nil, []string{"wrong allows"}},
		{"an unknown token allowed", request{class: unknown, due: at(25), outcome: allowed}, nil, []string{"wrong allows"}},
		{"a revoked one allowed", request{class: revoked, due: at(12), outcome: allowed}, nil, []string{"wrong allows"}},
		{"an uncached wrong secret allowed", request{class: uncachedWrongSecret, due: at(6), outcome: allowed}, nil, []string{"wrong allows"}},
		{"allowed before it expires", request{class: expiring, pair: good, due: at(14.9), outcome: allowed}, nil, nil},
		{"allowed when it has expired", request{class: expiring, pair: good, due: at(15), outcome: allowed}, nil, []string{"wrong allows"}},
		{"another consumer", request{class: uncached, due: at(8), outcome: wrongConsumer}, nil, []string{"wrong allows"}},
		{"a cached one unavailable", request{class: cached, due: at(19), outcome: unavailable}, nil, []string{"cached lost"}},
		{"a cached one denied", request{class: cached, due: at(19), outcome: denied}, nil, []string{"cached lost", "good denied"}},
		{"an uncached one denied", request{class: uncached, due: at(19), outcome: denied}, nil, []string{"good denied"}},
		{"no answer", request{class: uncachedWrongSecret, due: at(19), outcome: unanswered}, nil, []string{"no answer"}},
		{"unavailable while it recovers", request{class: uncached, due: at(25.5), took: 100 * time.Millisecond, outcome: unavailable}, nil, nil},
		{"unavailable later", request{class: uncached, due: at(26.5), outcome: unavailable}, nil, []string{"recovered after"}},
		{"before it is measured", request{class: unknown, due: at(4), outcome: allowed}, nil, nil},
		{"many reads after the end", request{class: unknown, due: at(22), outcome: denied}, func(t *trial) {
			for range 150 {
				t.testbed.front.count.requests = slices.Insert(t.testbed.front.count.requests, 1750, vaultRequest{at: at(22.5)})
			}
		}, []string{askedHead}},
		{
			"goroutines that stay",
			request{class: unknown, due: at(22), outcome: denied},
			func(t *trial) { t.after.goroutines = 80 },
			[]string{"goroutines (connections) before → after"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			trial := quietTrial(test.request)
			if test.spoil != nil {
				test.spoil(trial)
			}
			r := trial.row()
			var bad []string
			for i, c := range r.cells() {
				if c.bad {
					bad = append(bad, columns()[i].head)
				}
			}
			if !slices.Equal(bad, test.bad) {
				t.Errorf("cells that are bad: got %q, want %q; cells %v", bad, test.bad, r.cells())
			}
			var out strings.Builder
			printTable(&out, []row{r})
			if strings.Contains(out.String(), "✗") != (test.bad != nil) || r.bad() != (test.bad != nil) {
				t.Errorf("bad = %t, want %t, and so marked in\n%s", r.bad(), test.bad != nil, out.String())
			}
		})
	}
}

func TestAnAnswerIsReadAsEnvoyDoes(t *testing.T) {
	t.Parallel()
	ok := func(id string) *authv3.CheckResponse {
		return &authv3.CheckResponse{Status: &status.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-consumer-id", Value: id}}},
		}}}
	}
	denial := func(code int32, status3 typev3.StatusCode) *authv3.CheckResponse {
		return &authv3.CheckResponse{Status: &status.Status{Code: code}, HttpResponse: &authv3.CheckResponse_DeniedResponse{
			DeniedResponse: &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: status3}},
		}}
	}
	tests := []struct {
		name   string
		answer *authv3.CheckResponse
		err    error
		want   outcome
	}{
		{"allowed", ok("alice"), nil, allowed},
		{"another consumer", ok("bob"), nil, wrongConsumer},
		{"empty is allow", &authv3.CheckResponse{}, nil, wrongConsumer},
		{"a denial with status 0 is allow", denial(0, 401), nil, wrongConsumer},
		{"401", denial(16, 401), nil, denied},
		{"503", denial(14, 503), nil, unavailable},
		{"a failed call", nil, context.DeadlineExceeded, unanswered},
		{"a failed call with an answer", ok("alice"), errors.New("failed"), unanswered},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := (pair{consumer: "alice"}).judge(test.answer, test.err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
