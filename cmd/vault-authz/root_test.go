package main

import "testing"

func TestWhatIsNoCommandIsWrongUsage(t *testing.T) {
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
	got := completions([]string{"alice", "bob", "alice", "al\x1b[2J", "al\tx", "al\ny", "--al", "albert"}, "al")
	if len(got) != 2 || got[0] != "alice" || got[1] != "albert" {
		t.Errorf("completions = %q, want alice and albert", got)
	}
}
