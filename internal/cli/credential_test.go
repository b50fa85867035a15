package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// withCredential is an admin API with one vault object and one credential, which is what
// every call about it answers.
func withCredential(t *testing.T, credential string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(r.URL.Path, "/credentials") {
			_, _ = io.WriteString(w, `{"data":`+credential+`}`)
			return
		}
		_, _ = io.WriteString(w, `{"data":[{"id":"1","name":"main"}],"next":null}`)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestAMalformedRecordIsShownWithItsMistake(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, credential, want, not string }{
		{"malformed", `{"access_token":"a1","state":"malformed_record","mistake":"expires_at: neither Unix seconds nor an RFC 3339 time"}`, "mistake           expires_at: neither Unix seconds nor an RFC 3339 time\n", ""},
		{"good", `{"access_token":"a1","state":"good","mistake":null}`, "good", "mistake"},
		{"of a service of the version before", `{"access_token":"a1","state":"malformed_record"}`, "malformed_record", "mistake"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := operate(t, nil, "credential", "get", "a1", "--admin", withCredential(t, test.credential))
			if code != exitOK || !strings.Contains(out, test.want) || test.not != "" && strings.Contains(out, test.not) {
				t.Errorf("exit %d %s, and\n%swant %q and no %q", code, errs, out, test.want, test.not)
			}
		})
	}
}
