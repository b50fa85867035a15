package logging

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

func TestLinesAreJSONWithSnakeCaseKeys(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := New(Config{Level: "info", Format: FormatAuto}, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("not at this level")
	log.Named("vault").Info("state changed", zap.Duration("took", time.Second))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	if line["message"] != "state changed" || line["level"] != "info" || line["logger"] != "vault" || line["took"] != "1s" || line["time"] == nil {
		t.Errorf("got %v", line)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for _, bad := range []Config{{"loud", FormatJSON}, {"fatal", FormatJSON}, {"info", "xml"}, {"info", ""}} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v is valid", bad)
		}
		if _, err := New(bad, io.Discard); err == nil {
			t.Errorf("New takes %+v", bad)
		}
	}
	if err := (Config{Level: "debug", Format: FormatConsole}).Validate(); err != nil {
		t.Error(err)
	}
}

// A request must not wait for a slow reader of the log: a gateway without a timely answer
// decides itself.
func TestAStalledReaderDoesNotDelayWriters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader, writer := io.Pipe()
		s := NewSink(writer)
		go s.Run()
		began := time.Now()
		line := bytes.Repeat([]byte("l"), 256)
		for range 2 * queueLength {
			if _, err := s.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("writing took %s", took)
		}
		if got := s.Dropped(); got < queueLength-1-batchSize/256 || got > queueLength {
			t.Errorf("dropped: got %d of %d, want about %d", got, 2*queueLength, queueLength)
		}
		s.Close(time.Second)
		if took := time.Since(began); took != time.Second {
			t.Errorf("closing took %s, want the patience of 1s", took)
		}
		_ = reader.Close()
	})
}

// writes counts writes and keeps the length of the longest one.
type writes struct {
	bytes.Buffer
	count, longest int
}

func (w *writes) Write(p []byte) (int, error) {
	w.count++
	w.longest = max(w.longest, len(p))
	return w.Buffer.Write(p)
}

func TestQueuedLinesAreWrittenTogether(t *testing.T) {
	t.Parallel()
	const length, lines = 1024, 100
	out, want := &writes{}, bytes.Buffer{}
	s := NewSink(out)
	for i := range lines {
		line := bytes.Repeat([]byte{byte('a' + i%26)}, length)
		want.Write(line)
		_, _ = s.Write(line)
	}
	go s.Run()
	s.Close(time.Minute)
	if !bytes.Equal(out.Bytes(), want.Bytes()) {
		t.Error("the written lines differ from the logged ones")
	}
	if fewest := lines * length / batchSize; out.count > fewest+1 || out.longest > batchSize+length {
		t.Errorf("%d lines were written in %d pieces of up to %d bytes", lines, out.count, out.longest)
	}
}

func TestCloseWritesWhatIsQueued(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := NewSink(&out)
	line := []byte("one\n")
	_, _ = s.Write(line)
	copy(line, "two\n")
	_, _ = s.Write(line)
	go s.Run()
	s.Close(time.Minute)
	_, _ = s.Write([]byte("late\n"))
	if out.String() != "one\ntwo\n" || s.Dropped() != 1 {
		t.Errorf("got %q, dropped %d", out.String(), s.Dropped())
	}
}
