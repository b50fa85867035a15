package tlsfiles_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/internal/tlsfiles"
	"github.com/vault-authz/vault-authz/test/parts"
)

func authority(t *testing.T, name string) *parts.Authority {
	t.Helper()
	a, err := parts.NewAuthority(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *parts.Authority, edit func(*x509.Certificate), names ...string) parts.Issued {
	t.Helper()
	issued, err := a.Issue(edit, names...)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// A folder contains the files of a listener.
type folder struct {
	t   *testing.T
	dir string
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

// put writes files one after the other. A nil content removes a file.
func (f folder) put(files map[string][]byte) {
	f.t.Helper()
	for name, content := range files {
		if content == nil {
			if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				f.t.Fatal(err)
			}
		} else if err := os.WriteFile(f.path(name), content, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f folder) files() tlsfiles.Files {
	return tlsfiles.Files{
		Certificate: tlsfiles.File{Setting: "cert_file", Path: f.path("cert")},
		Key:         tlsfiles.File{Setting: "key_file", Path: f.path("key")},
		Authorities: tlsfiles.File{Setting: "client_ca_file", Path: f.path("ca")},
		Server:      true,
	}
}

// set returns the files of a folder.
func set(i parts.Issued, authorities ...*parts.Authority) map[string][]byte {
	return map[string][]byte{"cert": i.Certificate, "key": i.Key, "ca": parts.Bundle(authorities...)}
}

func open(t *testing.T, f tlsfiles.Files) (*tlsfiles.Watch, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	w, err := tlsfiles.Open(f, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	return w, logs
}

func TestInvalidFilesLeaveThePreviousContentInUse(t *testing.T) {
	t.Parallel()
	ours, other := authority(t, "ours"), authority(t, "other")
	first, second := issue(t, ours, nil, "authz"), issue(t, ours, nil, "authz")
	ended, err := parts.NewAuthorityUntil("ended", time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	expired := issue(t, ours, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "authz")
	early := issue(t, ours, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, "authz")
	clients := issue(t, ours, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "authz")
	bundle := parts.Bundle(ours, other)
	damaged := slices.Clone(bundle)
	damaged[60] = '!'
	for _, test := range []struct {
		name    string
		replace map[string][]byte
		want    string
	}{
		{"a certificate without its key yet", map[string][]byte{"cert": second.Certificate}, "not a certificate with its key"},
		{"a key without its certificate yet", map[string][]byte{"key": second.Key}, "not a certificate with its key"},
		{"a certificate that is cut off", map[string][]byte{"cert": second.Certificate[:len(second.Certificate)/2]}, "not a certificate with its key"},
		{"an empty certificate", map[string][]byte{"cert": {}}, "not a certificate with its key"},
		{"no certificate", map[string][]byte{"cert": nil}, "cert_file: open"},
		{"an expired pair", set(expired, ours), "expired at"},
		{"a pair that is not valid yet", set(early, ours), "is not valid before"},
		{"a pair for clients only", set(clients, ours), "not for servers"},
		{"no authorities", map[string][]byte{"ca": nil}, "client_ca_file: open"},
		{"an empty file of authorities", map[string][]byte{"ca": {}}, "there is no PEM certificate"},
		{"authorities that are no PEM", map[string][]byte{"ca": []byte("half a file")}, "there is no PEM certificate"},
		{"authorities of which the last is cut off", map[string][]byte{"ca": bundle[:len(bundle)-40]}, "1 of 2 certificates are cut off"},
		{"authorities of which the first is damaged", map[string][]byte{"ca": damaged}, "1 of 2 certificates are cut off"},
		{"authorities that have all ended", map[string][]byte{"ca": ended.PEM}, "no authority"},
		{"a good pair with bad authorities", map[string][]byte{"cert": second.Certificate, "key": second.Key, "ca": []byte("x")}, "there is no PEM certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := folder{t, t.TempDir()}
			f.put(set(first, ours))
			w, logs := open(t, f.files())
			before := w.Current()
			f.put(test.replace)
			w.Reload()
			w.Reload()
			if w.Current() != before {
				t.Error("invalid files are in use")
			}
			if !w.Status().Refused {
				t.Error("the status does not say that the files are refused")
			}
			lines := logs.FilterMessageSnippet("TLS files not read again").All()
			if len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["error"].(string), test.want) {
				t.Errorf("got %v, want one line with %q", lines, test.want)
			}
			bad := maps.Clone(test.replace)
			f.put(set(second, ours, other))
			w.Reload()
			if s := w.Status(); w.Current() == before || s.Refused {
				t.Errorf("valid files are not in use after %s: %+v", slices.Sorted(maps.Keys(bad)), s)
			}
			// At a start there is no previous content.
			f.put(set(first, ours))
			f.put(test.replace)
			if _, err := tlsfiles.Open(f.files(), zap.NewNop()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open = %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestFilesAreReadAgainInWhateverWayTheyAreReplaced(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		replace func(t *testing.T, f folder, files map[string][]byte)
	}{
		{"written over", func(_ *testing.T, f folder, files map[string][]byte) { f.put(files) }},
		{"renamed", func(t *testing.T, f folder, files map[string][]byte) {
			t.Helper()
			for name, content := range files {
				f.put(map[string][]byte{name + ".new": content})
				if err := os.Rename(f.path(name+".new"), f.path(name)); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"removed and made again", func(_ *testing.T, f folder, files map[string][]byte) {
			f.put(map[string][]byte{"cert": nil, "key": nil, "ca": nil})
			f.put(files)
		}},
		{"swapped by Kubernetes", func(t *testing.T, f folder, files map[string][]byte) {
			t.Helper()
			if err := parts.MountSecret(f.dir, files); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := folder{t, t.TempDir()}
			synctest.Test(t, func(t *testing.T) {
				ours := authority(t, "ours")
				// In Kubernetes the links exist from the beginning.
				if first := set(issue(t, ours, nil, "authz"), ours); test.name == "swapped by Kubernetes" {
					test.replace(t, f, first)
				} else {
					f.put(first)
				}
				w, logs := open(t, f.files())
				before := w.Current()
				go func() { _ = w.Run(t.Context()) }()
				time.Sleep(3 * tlsfiles.Interval)
				if w.Current() != before || logs.Len() != 0 {
					t.Errorf("unchanged files are replaced: %v", logs.All())
				}
				test.replace(t, f, set(issue(t, ours, nil, "authz"), ours))
				time.Sleep(tlsfiles.Interval)
				synctest.Wait()
				if w.Current() == before {
					t.Error("the new content is not in use")
				}
				if n := logs.FilterMessage("TLS files read again").Len(); n != 1 {
					t.Errorf("%d log lines, want 1", n)
				}
			})
		})
	}
}

func TestAnExpiredCertificateStaysInUseUntilTheNextOneIsValid(t *testing.T) {
	t.Parallel()
	f := folder{t, t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		ours := authority(t, "ours")
		f.put(set(issue(t, ours, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(10 * time.Minute) }, "authz"), ours))
		w, logs := open(t, f.files())
		go func() { _ = w.Run(t.Context()) }()
		before := w.Current()
		if s := w.Status(); s.Refused || time.Until(s.Certificate) != 10*time.Minute || time.Until(s.Authorities) != time.Hour {
			t.Errorf("at first: got %+v", s)
		}
		time.Sleep(15 * time.Minute)
		if s := w.Status(); !s.Refused || time.Until(s.Certificate) != -5*time.Minute || w.Current() != before {
			t.Errorf("after it expired: got %+v, want it refused and in use", s)
		}
		if lines := logs.FilterMessageSnippet("not read again").All(); len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["error"].(string), "expired at") {
			t.Errorf("got %v, want one line", lines)
		}
		f.put(set(issue(t, ours, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(5 * time.Minute) }, "authz"), ours))
		time.Sleep(4 * time.Minute)
		if w.Current() != before {
			t.Error("a certificate is in use before it is valid")
		}
		time.Sleep(2 * time.Minute)
		if s := w.Status(); s.Refused || w.Current() == before {
			t.Errorf("once the next one is valid: got %+v, want it in use", s)
		}
	})
}

// No text between the certificates of a file may hide one of them without an error: clients
// of that authority would be refused.
func FuzzNoAuthorityOfAFileIsPassedOver(f *testing.F) {
	ours, err := parts.NewAuthority("ours")
	if err != nil {
		f.Fatal(err)
	}
	other, err := parts.NewAuthority("other")
	if err != nil {
		f.Fatal(err)
	}
	for _, between := range []string{"", "# a comment\n", "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----BEGIN X-----\n", "\x00", "-----"} {
		f.Add([]byte(between))
	}
	certificate := func(a *parts.Authority) []byte {
		block, _ := pem.Decode(a.PEM)
		return block.Bytes
	}
	f.Fuzz(func(t *testing.T, between []byte) {
		all, err := tlsfiles.Certificates(slices.Concat(ours.PEM, between, other.PEM))
		if err != nil {
			return
		}
		for _, a := range []*parts.Authority{ours, other} {
			if !slices.ContainsFunc(all, func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, certificate(a)) }) {
				t.Errorf("%q between two certificates: one is missing, and there is no error", between)
			}
		}
	})
}
