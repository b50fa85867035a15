package logging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A request must not wait for the reader of the log: a gateway that gets no
// answer in time decides for itself.
func TestAReaderThatStallsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader, writer := io.Pipe()
		s := NewSink("pipe", writer)
		stream := s.Stream("log")
		go s.Run()
		began := time.Now()
		line := bytes.Repeat([]byte("l"), 256)
		for range 2 * queueLength {
			if _, err := stream.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("writing took %s", took)
		}
		if got := stream.dropped.Load(); got < queueLength-1-batchSize/256 || got > queueLength {
			t.Errorf("dropped: got %d of %d, want about %d", got, 2*queueLength, queueLength)
		}
		s.Close(time.Second)
		if took := time.Since(began); took != time.Second {
			t.Errorf("closing took %s, want the patience of 1s", took)
		}
		_ = reader.Close()
	})
}

// writes counts them, and keeps the longest.
type writes struct {
	bytes.Buffer
	count, longest int
}

func (w *writes) Write(p []byte) (int, error) {
	w.count++
	w.longest = max(w.longest, len(p))
	return w.Buffer.Write(p)
}

func TestLinesThatWaitAreWrittenTogether(t *testing.T) {
	t.Parallel()
	const length, lines = 1024, 100
	out, want := &writes{}, bytes.Buffer{}
	s := NewSink("buffer", out)
	stream := s.Stream("log")
	for i := range lines {
		line := append(bytes.Repeat([]byte{byte('a' + i%26)}, length-1), '\n')
		want.Write(line)
		_, _ = stream.Write(line)
	}
	go s.Run()
	s.Close(time.Minute)
	if !bytes.Equal(out.Bytes(), want.Bytes()) {
		t.Error("what was written is not what was logged")
	}
	if fewest := lines * length / batchSize; out.count > fewest+1 || out.longest > batchSize+length {
		t.Errorf("%d lines were written in %d pieces of up to %d bytes", lines, out.count, out.longest)
	}
}

func TestCloseWritesWhatIsQueued(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := NewSink("buffer", &out)
	stream := s.Stream("log")
	line := []byte("one\n")
	_, _ = stream.Write(line)
	copy(line, "two\n")
	_, _ = stream.Write(line)
	go s.Run()
	s.Close(time.Minute)
	_, _ = stream.Write([]byte("late\n"))
	if out.String() != "one\ntwo\n" || stream.dropped.Load() != 1 {
		t.Errorf("got %q, dropped %d", out.String(), stream.dropped.Load())
	}
	if err := s.Record(t.Context(), []byte("late\n")); !errors.Is(err, errClosed) {
		t.Errorf("a record that comes after: got %v, want %v", err, errClosed)
	}
}

// running runs a sink until the test ends.
func running(t *testing.T, out io.Writer) *Sink {
	t.Helper()
	s := NewSink("test", out)
	go s.Run()
	t.Cleanup(func() { s.Close(time.Second) })
	return s
}

func TestARecordThatIsWrittenIsThereWhenItsWriterHears(t *testing.T) {
	t.Parallel()
	out := &disk{room: -1}
	s := running(t, out)
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			text := fmt.Sprintf("record %d\n", i)
			if err := s.Record(t.Context(), []byte(text)); err != nil {
				t.Error(err)
			}
			if !strings.Contains(out.text(), text) {
				t.Errorf("%q is not written", text)
			}
		})
	}
	all.Wait()
	if n := strings.Count(out.text(), "\n"); n != 500 {
		t.Errorf("got %d lines, want each record once", n)
	}
}

func TestARecordThatDoesNotFitIsRefusedAndLeavesTheNextOneWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &disk{room: len("first\nsec")}
		s := running(t, out)
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- s.Record(t.Context(), []byte("first\n")) }()
		synctest.Wait()
		go func() { second <- s.Record(t.Context(), []byte("second\n")) }()
		if err := <-first; err != nil {
			t.Errorf("the one that fits: %v", err)
		}
		if err := <-second; !errors.Is(err, errFull) {
			t.Errorf("the one that does not: got %v, want %v", err, errFull)
		}
		out.setRoom(-1)
		if err := s.Record(t.Context(), []byte("third\n")); err != nil {
			t.Error(err)
		}
		if got := out.text(); got != "first\nsec\nthird\n" {
			t.Errorf("got %q", got)
		}
	})
}

func TestOfABatchThatDoesNotFitTheRecordsThatDoAreWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &disk{room: 2 * len("record\n")}
		s := NewSink("test", out)
		results := make(chan error, 3)
		for range 3 {
			go func() { results <- s.Record(t.Context(), []byte("record\n")) }()
		}
		synctest.Wait()
		go s.Run()
		failed := 0
		for range 3 {
			if err := <-results; err != nil {
				failed++
			}
		}
		if failed != 1 || out.text() != "record\nrecord\n" {
			t.Errorf("%d of 3 failed, and there is %q, want one that failed and two that are there", failed, out.text())
		}
		s.Close(time.Second)
	})
}

func TestARecordWaitsForAStalledReaderForSecondsOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newStalled()
		s := running(t, out)
		stream := s.Stream("log")
		_, _ = stream.Write([]byte("a line that is stuck\n"))
		synctest.Wait()
		began := time.Now()
		err := s.Record(t.Context(), []byte("record\n"))
		if took := time.Since(began); !errors.Is(err, errSlow) || took != recordPatience {
			t.Errorf("got %v after %s, want %v after %s", err, took, errSlow, recordPatience)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Record(ctx, []byte("record\n")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with less time: got %v", err)
		}
		close(out.free)
		synctest.Wait()
		if got := out.text(); got != "a line that is stuck\n" {
			t.Errorf("got %q: a record whose change was refused is written later", got)
		}
		if err := s.Record(t.Context(), []byte("after it\n")); err != nil {
			t.Error(err)
		}
	})
}

func TestAFloodOfLinesKeepsNoRecordOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newStalled()
		s := NewSink("test", out)
		stream := s.Stream("log")
		go s.Run()
		defer s.Close(time.Second)
		for range 2 * queueLength {
			_, _ = stream.Write(bytes.Repeat([]byte("l"), 64))
		}
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- s.Record(t.Context(), []byte("record\n")) }()
		synctest.Wait()
		close(out.free)
		if err := <-done; err != nil {
			t.Errorf("a flood of lines keeps a record out: %v", err)
		}
	})
}

func TestARecordDoesNotContinueALineThatAnEarlierProcessLeftUnfinished(t *testing.T) {
	t.Parallel()
	const unfinished = `{"message":"chan`
	for _, test := range []struct{ name, content, want string }{
		{"an unfinished line", unfinished, unfinished + "\nrecord\n"},
		{"whole lines", "before\n", "before\nrecord\n"},
		{"an empty file", "", "record\n"},
	} {
		for _, reopened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, opened again: %t", test.name, reopened), func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "audit.log")
				if !reopened {
					if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				s, err := OpenFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if reopened {
					if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
						t.Fatal(err)
					}
					s.openAgain()
				}
				go s.Run()
				if err := s.Record(t.Context(), []byte("record\n")); err != nil {
					t.Fatal(err)
				}
				s.Close(time.Second)
				got, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
			})
		}
	}
}
