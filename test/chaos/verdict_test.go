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

// quietTrial is one in which all is as it must be: broken at 10 s, mended from
// 20 s on, until 30 s. The moments are seconds since the epoch of the trial.
func quietTrial(shots ...shot) *trial {
	t := &trial{
		fault: fault{name: "some fault"}, testbed: &testbed{front: &front{}}, traffic: &traffic{},
		marks:  marks{steady: at(5), broken: at(10), mending: at(20), mended: at(21), over: at(30)},
		before: census{goroutines: 20}, after: census{goroutines: 60, connections: 20},
	}
	t.traffic.shots = append(shots, shot{class: hot, due: at(12), outcome: allowed}, shot{class: fresh, due: at(12), outcome: unavailable},
		shot{class: expiring, pair: pair{expires: at(15)}, due: at(12), outcome: allowed})
	for _, c := range []class{stolen, guessed, unknown, revoked} {
		t.traffic.shots = append(t.traffic.shots, shot{class: c, due: at(12), outcome: denied})
	}
	for i := 500; i < 3000; i++ {
		t.testbed.front.count.asks = append(t.testbed.front.count.asks, ask{at: at(float64(i) / 100)})
	}
	return t
}

func at(seconds float64) time.Time {
	return time.Unix(1_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// TestATableShowsWhatIsWrong has each thing go wrong that a cell is about, and
// the cell must say so and no other.
func TestATableShowsWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := pair{expires: at(15)}
	tests := []struct {
		name  string
		shot  shot
		spoil func(*trial)
		bad   []string
	}{
		{"nothing", shot{class: stolen, due: at(12), outcome: denied}, nil, nil},
		{"a wrong secret unavailable", shot{class: guessed, due: at(12), outcome: unavailable}, nil, nil},
		{"a wrong secret allowed", shot{class: stolen, due: at(12), outcome: allowed}, nil, []string{"wrong allows"}},
		{"an unknown token allowed", shot{class: unknown, due: at(25), outcome: allowed}, nil, []string{"wrong allows"}},
		{"a revoked one allowed", shot{class: revoked, due: at(12), outcome: allowed}, nil, []string{"wrong allows"}},
		{"an uncached wrong secret allowed", shot{class: guessed, due: at(6), outcome: allowed}, nil, []string{"wrong allows"}},
		{"allowed before it expires", shot{class: expiring, pair: good, due: at(14.9), outcome: allowed}, nil, nil},
		{"allowed when it has expired", shot{class: expiring, pair: good, due: at(15), outcome: allowed}, nil, []string{"wrong allows"}},
		{"another consumer", shot{class: fresh, due: at(8), outcome: mistaken}, nil, []string{"wrong allows"}},
		{"a cached one unavailable", shot{class: hot, due: at(19), outcome: unavailable}, nil, []string{"cached lost"}},
		{"a cached one told to be bad", shot{class: hot, due: at(19), outcome: denied}, nil, []string{"cached lost", "good told 401"}},
		{"an uncached one told to be bad", shot{class: fresh, due: at(19), outcome: denied}, nil, []string{"good told 401"}},
		{"no answer", shot{class: guessed, due: at(19), outcome: silent}, nil, []string{"no answer"}},
		{"unavailable while it recovers", shot{class: fresh, due: at(25.5), took: 100 * time.Millisecond, outcome: unavailable}, nil, nil},
		{"unavailable later", shot{class: fresh, due: at(26.5), outcome: unavailable}, nil, []string{"recovered after"}},
		{"before it is measured", shot{class: unknown, due: at(4), outcome: allowed}, nil, nil},
		{"many reads after the end", shot{class: unknown, due: at(22), outcome: denied}, func(t *trial) {
			for range 150 {
				t.testbed.front.count.asks = slices.Insert(t.testbed.front.count.asks, 1750, ask{at: at(22.5)})
			}
		}, []string{askedHead}},
		{
			"goroutines that stay",
			shot{class: unknown, due: at(22), outcome: denied},
			func(t *trial) { t.after.goroutines = 80 },
			[]string{"goroutines (connections) before → after"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			trial := quietTrial(test.shot)
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
		{"another consumer", ok("bob"), nil, mistaken},
		{"empty is allow", &authv3.CheckResponse{}, nil, mistaken},
		{"a denial with status 0 is allow", denial(0, 401), nil, mistaken},
		{"401", denial(16, 401), nil, denied},
		{"503", denial(14, 503), nil, unavailable},
		{"a failed call", nil, context.DeadlineExceeded, silent},
		{"a failed call with an answer", ok("alice"), errors.New("failed"), silent},
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
