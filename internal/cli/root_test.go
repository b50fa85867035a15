package cli

import (
	"slices"
	"testing"
)

func TestAnUnknownCommandIsWrongUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"serv"}, {"nonsense"}, {"consumer", "nonsense"}, {"config", "nonsense"}, {"import", "nonsense"}, {"completion", "nonsense"}, {"version", "more"}} {
		if code, out, _ := operate(t, nil, args...); code != exitUsage || out != "" {
			t.Errorf("%q: exit %d, stdout %q, want exit %d and nothing", args, code, out, exitUsage)
		}
	}
	if code, out, _ := operate(t, nil); code != exitOK || out == "" {
		t.Errorf("no arguments: exit %d, stdout %q, want help", code, out)
	}
}

func TestCompletionsAreNamesThatAreSafeToPaste(t *testing.T) {
	t.Parallel()
	plain := []string{"alice", "albert", "al.b_c-d@example.com", "al/x:1+1=2", "alžběta", "al7"}
	odd := []string{"alice", "bob", "al\x1b[2J", "al\tx", "al\ny", "--al", "@al", "=al", "al ice", ""}
	for _, special := range "$`\\\"'&;|<>(){}[]*?!#~^%,\u00a0\u202e" {
		odd = append(odd, "al"+string(special), "al"+string(special)+"(id)1", string(special)+"al")
	}
	if got := completions(append(plain, odd...), ""); !slices.Equal(got, append(plain, "bob")) {
		t.Errorf("completions = %q, want %q and bob", got, plain)
	}
	if got := completions([]string{"alice", "bob", "alice", "albert"}, "al"); !slices.Equal(got, []string{"alice", "albert"}) {
		t.Errorf("completions of al = %q, want alice and albert", got)
	}
}

func TestShellWord(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ word, want string }{
		{"/usr/bin/vault-authz", "/usr/bin/vault-authz"},
		{"/home/a b/vault-authz", "'/home/a b/vault-authz'"},
		{"/tmp/$(id)/it's", `'/tmp/$(id)/it'\''s'`},
	} {
		if got := shellWord(test.word); got != test.want {
			t.Errorf("shellWord(%q) = %s, want %s", test.word, got, test.want)
		}
	}
}
