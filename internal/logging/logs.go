package logging

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/vault-authz/vault-authz/internal/metric"
)

// Logs are the logs of a service. Those with the same target share it, line by line.
type Logs struct {
	// Log is that of the service, Decisions the decision log.
	Log, Decisions *zap.Logger
	Audit          *Audit

	// level and decisions are the levels, which SetLevels changes.
	level     *Level
	decisions zap.AtomicLevel

	sinks   map[string]*Sink
	streams []*Stream
}

// Open opens the logs. Nothing is written before Start. That of the service goes to
// stdout.
func Open(c Config, stdout, stderr io.Writer) (*Logs, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	l := &Logs{level: NewLevel(zapcore.InfoLevel), decisions: zap.NewAtomicLevel(), sinks: map[string]*Sink{TargetStdout: NewSink(TargetStdout, stdout), TargetStderr: NewSink(TargetStderr, stderr)}}
	if err := l.SetLevels(c); err != nil {
		return nil, err
	}
	decisions, err := l.sink(c.Decisions.Target)
	if err != nil {
		return nil, fmt.Errorf("log.decisions.target: %w", err)
	}
	audit, err := l.sink(c.Audit.Target)
	if err != nil {
		return nil, fmt.Errorf("log.audit.target: %w", err)
	}
	l.Log = newLogger(c.Format, l.level, l.stream("log", l.sinks[TargetStdout]))
	l.Decisions = newLogger(c.Format, l.decisions, l.stream("decisions", decisions)).Named("decision")
	l.Audit = &Audit{encoder: newEncoder(c.Format, audit), sink: audit}
	for _, s := range l.sinks {
		s.Tell(l.Log.Named("logging"))
	}
	return l, nil
}

// Level returns the level of Log.
func (l *Logs) Level() *Level { return l.level }

// sink returns the one of a target, which it opens the first time.
func (l *Logs) sink(target string) (*Sink, error) {
	if s := l.sinks[target]; s != nil {
		return s, nil
	}
	s, err := OpenFile(target)
	if err != nil {
		return nil, err
	}
	l.sinks[target] = s
	return s, nil
}

func (l *Logs) stream(name string, s *Sink) *Stream {
	stream := s.Stream(name)
	l.streams = append(l.streams, stream)
	return stream
}

// SetLevels takes the levels of a configuration that is valid, and nothing else of it.
func (l *Logs) SetLevels(c Config) error {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return err
	}
	l.level.Configure(level)
	l.decisions.SetLevel(decisionLevel(c.Decisions.Level))
	return nil
}

func decisionLevel(level string) zapcore.Level {
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		return math.MaxInt8 // off
	}
	return parsed
}

// Start begins to write, until Close.
func (l *Logs) Start() {
	for _, s := range l.sinks {
		go s.Run()
	}
}

// Reopen opens all files again, see [Sink.Reopen].
func (l *Logs) Reopen() {
	for _, s := range l.sinks {
		s.Reopen()
	}
}

// Close lets what is queued be written, for up to patience, and drops what comes
// after.
func (l *Logs) Close(patience time.Duration) {
	until := time.Now().Add(patience)
	for _, s := range l.sinks {
		s.Close(max(time.Until(until), 0))
	}
}

// Metrics returns the collector of what became of lines and records.
func (l *Logs) Metrics() prometheus.Collector {
	dropped := metric.Counter("vault_authz_log_lines_dropped_total",
		"Lines of a log that were lost, by stream (log, decisions) and cause: slow (the reader of the target is too slow), failed (the target cannot be written). Decisions do not wait for the log.", "stream", "cause")
	records := metric.Counter("vault_authz_audit_records_total", "Records of the audit log by outcome: written, failed.", "outcome")
	return metric.Collector(func(to chan<- prometheus.Metric) {
		for _, s := range l.streams {
			dropped.Send(to, float64(s.dropped.Load()), s.name, "slow")
			dropped.Send(to, float64(s.failed.Load()), s.name, "failed")
		}
		records.Send(to, float64(l.Audit.written.Load()), "written")
		records.Send(to, float64(l.Audit.failed.Load()), "failed")
	})
}
