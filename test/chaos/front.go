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

// A front stands before Vault as a load balancer does: it ends the connections
// of vault-authz, and TLS if there is any, and passes requests on to Vault.
type front struct {
	count  counter
	server *http.Server
	proxy  *httputil.ReverseProxy
	// answer takes the place of Vault's if it is set.
	answer atomic.Pointer[http.HandlerFunc]
	// certificate is what is shown from now on.
	certificate atomic.Pointer[tls.Certificate]
	port        string
	// links are what it has listened on, the last one being that which it does
	// now. They are changed by whoever breaks things, one step after the other.
	links []*link
}

// newFront listens on a free port of loopback, with TLS if there is a
// certificate. It must be closed.
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
		// What stands before a dead server and knows nothing of HTTP.
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
		// It ends with the listener.
		_ = serve()
	}()
	return nil
}

// link is what it listens on now.
func (f *front) link() *link { return f.links[len(f.links)-1] }

// held returns how many connections are open.
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

// refuse closes the port, so that connections are refused, until [front.accept].
func (f *front) refuse() {
	_ = f.link().Close()
	f.link().set(resets)
}

// accept opens the port again, on this address.
func (f *front) accept(ctx context.Context, host string) error {
	if err := f.listen(ctx, host, f.port); err != nil {
		return fmt.Errorf("opening the port before Vault again: %w", err)
	}
	return nil
}

// withoutFlood answers for Vault where the tokens of a flood are looked for, which
// it does not have.
func (f *front) withoutFlood(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(path.Base(r.URL.Path), floodPrefix) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[]}`)
		return
	}
	f.proxy.ServeHTTP(w, r)
}

// answerWith answers in place of Vault, nil to stop that.
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
