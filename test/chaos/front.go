package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"time"
)

// A front is in front of Vault like a load balancer: it terminates the connections of
// vault-authz, also with TLS, and forwards requests to Vault.
type front struct {
	count  counter
	server *http.Server
	proxy  *httputil.ReverseProxy
	// answer, if it is set, answers instead of Vault.
	answer atomic.Pointer[http.HandlerFunc]
	// certificate is the certificate of new connections.
	certificate atomic.Pointer[tls.Certificate]
	port        string
	// links are its listeners so far. The last one is in use. Only one goroutine
	// changes them.
	links []*link
}

// newFront listens on a free loopback port, with TLS if certificate is not nil. It must
// be closed.
func newFront(ctx context.Context, vault string, certificate *tls.Certificate) (*front, error) {
	target, err := url.Parse(vault)
	if err != nil {
		return nil, err
	}
	f := &front{proxy: httputil.NewSingleHostReverseProxy(target)}
	quiet := log.New(io.Discard, "", 0)
	f.proxy.ErrorLog = quiet
	f.proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 256, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
	f.proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) {
		// A TCP load balancer in front of a dead server closes the connection.
		panic(http.ErrAbortHandler)
	}
	f.server = &http.Server{Handler: f, ErrorLog: quiet, ReadHeaderTimeout: time.Minute}
	if certificate != nil {
		f.certificate.Store(certificate)
		f.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return f.certificate.Load(), nil
		}}
	}
	return f, f.listen(ctx, "127.0.0.1", "0")
}

func (f *front) listen(ctx context.Context, host, port string) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	if _, f.port, err = net.SplitHostPort(ln.Addr().String()); err != nil {
		return err
	}
	l := newLink(ln, &f.count)
	f.links = append(f.links, l)
	serve := func() error { return f.server.Serve(l) }
	if f.certificate.Load() != nil {
		serve = func() error { return f.server.ServeTLS(l, "", "") }
	}
	go func() {
		// Serve ends when the listener is closed.
		_ = serve()
	}()
	return nil
}

// link returns the listener in use.
func (f *front) link() *link { return f.links[len(f.links)-1] }

// openConnections returns the number of open connections.
func (f *front) openConnections() int {
	n := 0
	for _, l := range f.links {
		n += l.openConnections()
	}
	return n
}

// ServeHTTP implements [http.Handler].
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.count.add(r.URL.Path)
	if answer := f.answer.Load(); answer != nil {
		(*answer)(w, r)
		return
	}
	f.proxy.ServeHTTP(w, r)
}

// refuse closes the port until [front.accept], so that connections are refused.
func (f *front) refuse() {
	_ = f.link().Close()
	f.link().set(resets)
}

// accept opens the port again, on a host.
func (f *front) accept(ctx context.Context, host string) error {
	if err := f.listen(ctx, host, f.port); err != nil {
		return fmt.Errorf("opening the port before Vault again: %w", err)
	}
	return nil
}

// withoutFlood answers "not found" for the tokens of a flood, and forwards other requests.
func (f *front) withoutFlood(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(path.Base(r.URL.Path), floodPrefix) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[]}`)
		return
	}
	f.proxy.ServeHTTP(w, r)
}

// answerWith sets the handler that answers instead of Vault, nil for none.
func (f *front) answerWith(answer http.HandlerFunc) {
	if answer == nil {
		f.answer.Store(nil)
		return
	}
	f.answer.Store(&answer)
}

func (f *front) close() error {
	err := f.server.Close()
	for _, l := range f.links {
		_ = l.Close()
		l.set(resets)
	}
	if t, ok := f.proxy.Transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
