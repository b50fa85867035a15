package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// every is a program with every kind of change.
const every = `package p

type flag bool

const shift = 1 << 3

var on = true

func Every(x, y, z int, a, b bool, s string) (sum int, ok bool) {
	if x < y && y <= 3 || !a && s >= "m" {
		sum += x*10 - y/2
	}
	if x != z {
		sum++
	}
	for i := 0; ; i++ {
		if i == z {
			continue
		}
		if i > 4 {
			break
		}
		sum -= -i % 3
		sum++
	}
	for _, bit := range []uint{1, 2} {
		if bit == 2 && b {
			break
		}
		sum += int(bit&3|4^bit) << bit >> 1 &^ 8
		sum--
	}
	var named flag = a != b
	return sum + shift, bool(named) && on
}
`

func module(t *testing.T, code, test string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"go.mod": "module m\n\ngo 1.26\n", "p/p.go": code, "p/p_test.go": "package p\n\nimport \"testing\"\n" + test} {
		if err := os.MkdirAll("p", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// told returns the output for p/p.go, without the time in the summary.
func told(t *testing.T, list string) string {
	t.Helper()
	var out bytes.Buffer
	if err := mutate(t.Context(), &out, "p/p.go", list); err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(out.String(), " make no difference")
	return text
}

func TestOnlyChangesThatNoTestNoticesAreListed(t *testing.T) {
	code := "package p\n\nfunc AtLeast(x, least int) bool {\n\treturn x >= least && true\n}\n"
	module(t, code, "func TestAtLeast(t *testing.T) {\n\tif AtLeast(1, 2) || !AtLeast(3, 2) {\n\t\tt.Fail()\n\t}\n}\n")
	const key = "p/p.go | return x >= least && true | >= | > | 1\n"
	const boundary = "p/p.go:4:11: >= becomes >\n\t" + key
	if got, want := told(t, ""), boundary+"p/p.go: 3 of 4 changes are noticed (75.0 %), 0 of them by a timeout; 0 more"; got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	named := "# Nobody asks for the least.\n" + key
	if got, want := told(t, named), "p/p.go: 3 of 3 changes are noticed (100.0 %), 0 of them by a timeout; 1 more"; got != want {
		t.Errorf("with the survivor named: got:\n%s\nwant:\n%s", got, want)
	}
}

func TestEqualChangesAreNumbered(t *testing.T) {
	module(t, "package p\n\nfunc Twice() {\n\tprint(true)\n\tprint(true)\n}\n", "func TestNothing(*testing.T) {}\n")
	got := told(t, "# No matter.\np/p.go | print(true) | true | false | 1\n")
	if want := "p/p.go:5:8: true becomes false\n\tp/p.go | print(true) | true | false | 2\np/p.go: 0 of 1 "; !strings.HasPrefix(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestALoopThatDoesNotEndIsNoticed(t *testing.T) {
	module(t, "package p\n\nfunc Up(n int) (sum int) {\n\tfor i := 0; i != n; i++ {\n\t\tsum += i\n\t}\n\treturn sum\n}\n",
		"func TestUp(t *testing.T) {\n\tif Up(4) != 6 {\n\t\tt.Fail()\n\t}\n}\n")
	if got, want := told(t, ""), "p/p.go: 4 of 4 changes are noticed (100.0 %), 1 of them by a timeout; 0 more"; got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// With a test that checks nothing, every change is printed.
func TestEveryKindOfChangeIsMade(t *testing.T) {
	module(t, every, "func TestNothing(*testing.T) {}\n")
	got := told(t, "")
	for _, want := range []string{
		"< becomes <=", "< becomes >=", "<= becomes <", "<= becomes >", ">= becomes >", ">= becomes <", "> becomes >=", "> becomes <=",
		"== becomes !=", "!= becomes ==", "&& becomes ||", "|| becomes &&", "! becomes nothing", "- becomes nothing", "true becomes false",
		"* becomes /", "/ becomes *", "- becomes +", "+ becomes -", "% becomes *", "& becomes |", "| becomes &", "^ becomes &", "&^ becomes &",
		"<< becomes >>", ">> becomes <<", "+= becomes -=", "+= becomes =", "-= becomes +=", "++ becomes --", "-- becomes ++", "break becomes continue",
	} {
		if !strings.Contains(got, ": "+want+"\n") {
			t.Errorf("the change %s is missing", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestAChangeThatOnlyASlowTestNoticesIsNoticed(t *testing.T) {
	module(t, "package p\n\nfunc Yes() bool { return true }\n", "import \"time\"\n\nfunc TestYes(t *testing.T) {\n\ttime.Sleep(200 * time.Millisecond)\n\tif !Yes() {\n\t\tt.Fail()\n\t}\n}\n")
	if got, want := told(t, ""), "p/p.go: 1 of 1 changes"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTestsThatFailWithoutAChangeAreReported(t *testing.T) {
	module(t, "package p\n\nfunc Yes() bool { return true }\n", "import \"os\"\n\nfunc TestTwice(t *testing.T) {\n\tif os.Mkdir(\"once\", 0o700) != nil && os.Mkdir(\"twice\", 0o700) != nil {\n\t\tt.Fail()\n\t}\n}\n")
	if got, want := told(t, ""), "p/p.go: the tests failed 1 of 1 times without a change"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestATestIsSlowIfASubtestIs(t *testing.T) {
	t.Parallel()
	output := "--- PASS: TestQuick (0.01s)\n--- PASS: TestSlow (0.00s)\n    --- PASS: TestSlow/in_parallel (2.00s)\n--- PASS: TestAlsoSlow (1.01s)\n"
	if got, want := slowTests(output, time.Second), "^(nothing|TestSlow|TestAlsoSlow)$"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFilesOfFailedTestsAreRemoved(t *testing.T) {
	module(t, "package p\n\nfunc Yes() bool { return true }\n", "import \"os\"\n\nfunc TestYes(t *testing.T) {\n\tif !Yes() {\n\t\t_ = os.MkdirAll(\"testdata/new\", 0o700)\n\t\t_ = os.WriteFile(\"testdata/new/input\", nil, 0o600)\n\t\tt.Fail()\n\t}\n}\n")
	told(t, "")
	if _, err := os.Stat("p/testdata"); !os.IsNotExist(err) {
		t.Errorf("testdata: %v, want it removed", err)
	}
}

func TestAnEquivalentChangeNeedsAReason(t *testing.T) {
	if _, err := readEquivalents("# A reason.\nx\n\ny\n"); err == nil || !strings.Contains(err.Error(), "equivalent.txt:4") {
		t.Errorf("got %v", err)
	}
	if _, err := readEquivalents(equivalentList); err != nil {
		t.Error(err)
	}
}
