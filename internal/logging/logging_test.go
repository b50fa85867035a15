package logging

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// open opens logs that write to stdout until the test ends.
func open(t *testing.T, change func(*Config), stdout io.Writer) *Logs {
	t.Helper()
	c := DefaultConfig()
	if change != nil {
		change(&c)
	}
	l, err := Open(c, stdout, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	l.Start()
	t.Cleanup(func() { l.Close(time.Second) })
	return l
}

func lines(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		all = append(all, fields)
	}
	return all
}

func TestLinesAreJSONWithSnakeCaseKeysAndTimesInUTC(t *testing.T) {
	t.Parallel()
	out := &disk{room: -1}
	l := open(t, nil, out)
	l.Log.Debug("not at this level")
	l.Log.Named("vault").Info("state changed", zap.Duration("took", time.Second))
	l.Close(time.Minute)
	line := lines(t, out.text())[0]
	if line["message"] != "state changed" || line["level"] != "info" || line["logger"] != "vault" || line["took"] != "1s" {
		t.Errorf("got %v", line)
	}
	if at, _ := line["time"].(string); !strings.HasSuffix(at, "Z") {
		t.Errorf("got the time %q, want UTC", at)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for want, mistake := range map[string]func(*Config){
		`level: "loud"`:                func(c *Config) { c.Level = "loud" },
		`level: "fatal"`:               func(c *Config) { c.Level = "fatal" },
		`format: "xml"`:                func(c *Config) { c.Format = "xml" },
		`format: ""`:                   func(c *Config) { c.Format = "" },
		`decisions.level: "debug"`:     func(c *Config) { c.Decisions.Level = "debug" },
		`decisions.target: "stdot"`:    func(c *Config) { c.Decisions.Target = "stdot" },
		`audit.target: "audit.log"`:    func(c *Config) { c.Audit.Target = "audit.log" },
		`audit.on_failure: "continue"`: func(c *Config) { c.Audit.OnFailure = "continue" },
	} {
		c := DefaultConfig()
		mistake(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := Open(c, io.Discard, io.Discard); err == nil {
			t.Errorf("Open takes %s", want)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestATargetThatCannotBeOpenedIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "no", "folder")} {
		for setting, change := range map[string]func(*Config){
			"log.decisions.target": func(c *Config) { c.Decisions.Target = path },
			"log.audit.target":     func(c *Config) { c.Audit.Target = path },
		} {
			c := DefaultConfig()
			change(&c)
			if _, err := Open(c, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), setting) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want one that names %s and %s", err, setting, path)
			}
		}
	}
}

func TestEachLogGoesToItsTarget(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), &disk{room: -1}
	l := open(t, func(c *Config) {
		c.Format = FormatConsole // not in files
		c.Level = "error"        // is that of the service's own log alone
		c.Decisions.Target, c.Audit.Target = filepath.Join(dir, "decisions"), filepath.Join(dir, "audit")
	}, out)
	l.Log.Error("of the service")
	l.Decisions.Info("decision")
	if err := l.Audit.Write(t.Context(), zapcore.InfoLevel, "change", zap.String("who", "olga")); err != nil {
		t.Fatal(err)
	}
	l.Close(time.Minute)
	if got := out.text(); !strings.Contains(got, "\terror\tof the service") {
		t.Errorf("got %q, want a line for people", got)
	}
	for logger, text := range map[string]string{"decision": contents(t, dir, "decisions"), "audit": contents(t, dir, "audit")} {
		all := lines(t, text)
		if len(all) != 1 || all[0]["logger"] != logger {
			t.Errorf("got %v, want one line of %q", all, logger)
		}
	}
}

func contents(t *testing.T, path ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestTheDecisionLogHasALevelOfItsOwn(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]int{"info": 3, "warn": 2, "error": 1, LevelOff: 0} {
		out := &disk{room: -1}
		l := open(t, func(c *Config) { c.Decisions.Level = level }, out)
		l.Decisions.Info("decision")
		l.Decisions.Warn("decision")
		l.Decisions.Error("decision")
		l.Close(time.Minute)
		if got := len(lines(t, out.text())); got != want {
			t.Errorf("%s: got %d lines, want %d", level, got, want)
		}
	}
}

func TestAFileIsOpenedAgainByItsName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "audit")
	l := open(t, func(c *Config) { c.Audit.Target = path }, io.Discard)
	write := func(message string) {
		t.Helper()
		if err := l.Audit.Write(t.Context(), zapcore.InfoLevel, message); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("second")
	l.Reopen()
	// What is asked for first is done first: nothing else waits.
	for i := 0; ; i++ {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if i == 1000 {
			t.Fatal("the file is not opened again")
		}
		time.Sleep(time.Millisecond)
	}
	write("third")
	if before := lines(t, contents(t, path+".1")); len(before) != 2 {
		t.Errorf("got %v in the file of before, want what came before", before)
	}
	if after := lines(t, contents(t, path)); len(after) != 1 || after[0]["message"] != "third" {
		t.Errorf("got %v in the new file, want what came after", after)
	}
}

func TestAFileThatCannotBeOpenedAgainStaysInUse(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), &disk{room: -1}
	path := filepath.Join(dir, "audit")
	l := open(t, func(c *Config) { c.Audit.Target = path }, out)
	if err := errors.Join(os.Rename(path, path+".1"), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	for i := 0; !strings.Contains(out.text(), "cannot be opened again"); i++ {
		if i == 1000 {
			t.Fatal("nobody is told")
		}
		time.Sleep(time.Millisecond)
	}
	if err := l.Audit.Write(t.Context(), zapcore.InfoLevel, "change"); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, path+".1"); !strings.Contains(got, "change") {
		t.Errorf("got %q, want the change", got)
	}
}

func TestWhatIsLostIsCountedByStreamAndCauseAndTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &disk{room: 0}
		l := open(t, nil, out)
		l.Decisions.Info("decision")
		synctest.Wait()
		if err := l.Audit.Write(t.Context(), zapcore.InfoLevel, "change"); !errors.Is(err, errFull) {
			t.Errorf("got %v, want %v", err, errFull)
		}
		synctest.Wait()
		out.setRoom(-1)
		if err := l.Audit.Write(t.Context(), zapcore.InfoLevel, "change"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		// The line that says that it fails is one of those that are lost.
		const want = `
# HELP vault_authz_audit_records_total Records of the audit log by outcome: written, failed.
# TYPE vault_authz_audit_records_total counter
vault_authz_audit_records_total{outcome="failed"} 1
vault_authz_audit_records_total{outcome="written"} 1
# HELP vault_authz_log_lines_dropped_total Lines of a log that were lost, by stream (log, decisions) and cause: slow (the reader of the target is too slow), failed (the target cannot be written). Decisions do not wait for the log.
# TYPE vault_authz_log_lines_dropped_total counter
vault_authz_log_lines_dropped_total{cause="failed",stream="decisions"} 1
vault_authz_log_lines_dropped_total{cause="failed",stream="log"} 1
vault_authz_log_lines_dropped_total{cause="slow",stream="decisions"} 0
vault_authz_log_lines_dropped_total{cause="slow",stream="log"} 0
`
		if err := testutil.CollectAndCompare(l.Metrics(), strings.NewReader(want)); err != nil {
			t.Error(err)
		}
		for _, said := range []string{"can be written again", `"lines of the log were lost","target":"stdout","stream":"decisions","lines":1`} {
			if !strings.Contains(out.text(), said) {
				t.Errorf("%q is not in the log:\n%s", said, out.text())
			}
		}
	})
}

func TestWhatAStalledReaderMissedIsToldOnceItReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newStalled()
		l := open(t, nil, out)
		l.Decisions.Info("the one that is being written")
		synctest.Wait()
		for range 2 * queueLength {
			l.Decisions.Info("decision")
		}
		close(out.free)
		synctest.Wait()
		lost := l.streams[1].dropped.Load()
		if want := fmt.Sprintf(`"lines of the log were lost","target":"stdout","stream":"decisions","lines":%d`, lost); lost == 0 || !strings.Contains(out.text(), want) {
			t.Errorf("%s is not in the log", want)
		}
	})
}

func TestTheMetricsOfLogsFollowTheConventions(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(open(t, nil, io.Discard).Metrics())
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v", problems, err)
	}
}
