package envoy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/vault-authz/vault-authz/authz"
)

var update = flag.Bool("update", false, "write the .golden files anew")

// recorded returns the requests in testdata by name.
func recorded(tb testing.TB) map[string]*authv3.CheckRequest {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "requests", "*.json"))
	if err != nil || len(files) < 10 {
		tb.Fatalf("testdata/requests: %d files (%v), want at least 10", len(files), err)
	}
	out := map[string]*authv3.CheckRequest{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		var in authv3.CheckRequest
		if err := protojson.Unmarshal(data, &in); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		out[strings.TrimSuffix(filepath.Base(file), ".json")] = &in
	}
	return out
}

func TestRecordedRequestsAreRead(t *testing.T) {
	t.Parallel()
	for name, in := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := describeRequest(read(t, in))
			golden := filepath.Join("testdata", "requests", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v; run go test ./envoy -run TestRecorded -update", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s is read as (-want +got):\n%s", name, diff)
			}
		})
	}
}

// describeRequest returns the fields of a request, one per line.
func describeRequest(r authz.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "http %t\nmethod %q\npath %q\nhost %q\nscheme %q\n", r.HTTP, r.Method, r.Path, r.Host, r.Scheme)
	for _, h := range r.Headers {
		fmt.Fprintf(&b, "header %s %q\n", h.Name, h.Value)
	}
	fmt.Fprintf(&b, "body %q\npartial %t\npolicy %q\nsource %q\n", r.Body, r.BodyPartial, r.PolicyName, r.Source)
	return b.String()
}
