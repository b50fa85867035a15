package admin

import (
	"net/http"
	"strings"

	"github.com/vault-authz/vault-authz/internal/ui"
)

// isUI reports whether a request is for the page. It goes by the path as it was sent: no other
// spelling of it gets around the authentication of a call.
func isUI(r *http.Request) bool {
	sent := r.URL.EscapedPath()
	return sent == ui.Root || strings.HasPrefix(sent, ui.Root+"/")
}

// serveUI serves the page to everybody but those who call this listener by a name that it does
// not have: a web page whose name was pointed here could otherwise pass ours off as its own, and
// read the token that is typed into it.
func (a *API) serveUI(w http.ResponseWriter, r *http.Request) {
	if refused := a.authenticator.CheckHost(r); refused != nil {
		http.Error(w, refused.Message, refused.Status)
		return
	}
	a.ui.ServeHTTP(w, r)
}
