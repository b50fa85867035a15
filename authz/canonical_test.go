package authz

import (
	"strings"
	"testing"
)

func TestAHostIsSplitIntoNameAndPortOrRefused(t *testing.T) {
	t.Parallel()
	for host, want := range map[string][2]string{
		"api.test":       {"api.test", ""},
		"API.Test":       {"api.test", ""},
		"a-z_09.test:80": {"a-z_09.test", "80"},
		"h:0":            {"h", "0"},
		"h:65535":        {"h", "65535"},
		"127.0.0.1":      {"127.0.0.1", ""},
		"[::1]":          {"::1", ""},
		"[::1]:443":      {"::1", "443"},
		"[0:0::1]":       {"::1", ""},
	} {
		if name, port, ok := canonicalHost(host); !ok || name != want[0] || port != want[1] {
			t.Errorf("%q: got %q, %q, %t, want %q", host, name, port, ok, want)
		}
	}
	for _, host := range []string{
		"", ":80", "h.", "h.:80", "h:", "h:80:81", "h:080", "h:65536", "h:x", "h:-1", "h:+1", "user@h", "h/a", "h h",
		"[::1", "[::1:443", "::1]", "[127.0.0.1]", "[h]", "[]", "[fe80::1%eth0]", "[::1]x", "[::1]80", "[::1]:", "[::1]:080", "[::1]:x",
		"\u212a", "h\u0130",
	} {
		if name, port, ok := canonicalHost(host); ok {
			t.Errorf("%q: got %q, %q, want it refused", host, name, port)
		}
	}
	for c := range 256 {
		want := strings.IndexByte(lower+upper+digits+".-_", byte(c)) >= 0
		if _, _, ok := canonicalHost("x" + string([]byte{byte(c)}) + "x"); ok != want && c != ':' {
			t.Errorf("a name with %q: got %t, want %t", byte(c), ok, want)
		}
	}
}

func TestAPathIsDecodedOrRefused(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"/":            "/",
		"/a/b?c=%zz#d": "/a/b",
		"/a/":          "/a/",
		"/%61%2e5":     "/a.5",
		"/a+b%21":      "/a+b!",
		"/.a/..b/a.b":  "/.a/..b/a.b",
		"/a%20b":       "/a b",
		"/a%25":        "/a%",
		"/a%254":       "/a%4",
		"/a%25zz":      "/a%zz",
		"/a%250z":      "/a%0z",
		"/%C3%A9/x":    "/é/x",
	} {
		if path, ok := canonicalPath(target); !ok || path != want {
			t.Errorf("%q: got %q, %t, want %q", target, path, ok, want)
		}
	}
	for _, target := range []string{
		"", "a", "*", "?", "//a", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a.", "/a./b", "/a%2e", "/a%2fb", "/a%3fb", "/a%23b", "/a;b", `/a\b`,
		"/ a", "/a ", "/a%20", "/%20a/b", "/a\x1f", "/a\x7f", "/a%00", "/%", "/%4", "/%zz", "/%2541", "/%2500", "/a%25f0/b", "/a%250f",
		"/a\x80", "/\x80a", "/a\xffb", "/\u00a0a", "/a\u00a0", "/\u3000a/b", "/a\u3000/b", "/\u00e9.", "/\u00e9 ", "/ \u00e9",
	} {
		if path, ok := canonicalPath(target); ok {
			t.Errorf("%q: got %q, want it refused", target, path)
		}
	}
}

func TestAFoldedPathIsTheSameInAnyCase(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/": "/", "/az09": "/az09", "/A": "/a", "/Z": "/z", "/aZ/@[": "/az/@[", "/É": "/é", "/é": "/é"} {
		if got := foldedPath(path); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}

func TestADirectoryGivesTheConsumerOfAnID(t *testing.T) {
	t.Parallel()
	d, err := NewDirectory(testConsumers(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := d.Lookup(bobID); err != nil || c.Username != "bob" {
		t.Errorf("got %+v, %v, want bob", c, err)
	}
	if c, err := d.Lookup("nobody"); err == nil {
		t.Errorf("got %+v, want an error", c)
	}
}
