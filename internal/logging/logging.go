// Package logging makes the logs that everything else is given: that of the service,
// the decision log, and the audit log.
package logging

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// The formats.
const (
	FormatAuto    = "auto"
	FormatJSON    = "json"
	FormatConsole = "console"
)

// Where a log goes, if not to a file.
const (
	TargetStdout = "stdout"
	TargetStderr = "stderr"
)

// LevelOff is that of a decision log without lines.
const LevelOff = "off"

// What becomes of a change whose audit record cannot be written.
const (
	// FailureRefuse refuses it before anything is done.
	FailureRefuse = "refuse"
	// FailureWarn makes it, and says so in the answer and in the log.
	FailureWarn = "warn"
)

// Config says what is logged, how and where.
type Config struct {
	// Level is debug, info, warn or error, for the log of the service.
	Level string
	// Format is json, console, or auto for console on a terminal and json
	// elsewhere. Files are JSON in any case.
	Format    string
	Decisions DecisionsConfig
	Audit     AuditConfig
}

// DecisionsConfig is that of the decision log.
type DecisionsConfig struct {
	// Level is info, warn, error or off, see [authz.DecisionLog].
	Level string
	// Target is stdout, stderr, or the path of a file.
	Target string
}

// AuditConfig is that of the audit log.
type AuditConfig struct {
	// Target is stdout, stderr, or the path of a file.
	Target string
	// OnFailure is refuse or warn.
	OnFailure string
}

// DefaultConfig is all of it on standard output.
func DefaultConfig() Config {
	return Config{
		Level: "info", Format: FormatAuto,
		Decisions: DecisionsConfig{Level: "info", Target: TargetStdout},
		Audit:     AuditConfig{Target: TargetStdout, OnFailure: FailureRefuse},
	}
}

// Validate reports every mistake.
func (c Config) Validate() error {
	var errs []error
	if level, err := zapcore.ParseLevel(c.Level); err != nil || level > zapcore.ErrorLevel {
		errs = append(errs, fmt.Errorf("level: %q is not one of debug, info, warn, error", c.Level))
	}
	switch c.Format {
	case FormatAuto, FormatJSON, FormatConsole:
	default:
		errs = append(errs, fmt.Errorf("format: %q is not one of auto, json, console", c.Format))
	}
	switch c.Decisions.Level {
	case "info", "warn", "error", LevelOff:
	default:
		errs = append(errs, fmt.Errorf("decisions.level: %q is not one of info, warn, error, off", c.Decisions.Level))
	}
	switch c.Audit.OnFailure {
	case FailureRefuse, FailureWarn:
	default:
		errs = append(errs, fmt.Errorf("audit.on_failure: %q is neither refuse nor warn", c.Audit.OnFailure))
	}
	return errors.Join(append(errs, validateTarget("decisions", c.Decisions.Target), validateTarget("audit", c.Audit.Target))...)
}

func validateTarget(stream, target string) error {
	if target == TargetStdout || target == TargetStderr || filepath.IsAbs(target) {
		return nil
	}
	return fmt.Errorf("%s.target: %q is neither stdout nor stderr nor the path of a file, which begins with a slash", stream, target)
}

// newEncoder returns what writes lines for s. Times are RFC 3339 in UTC, keys are in
// snake case.
func newEncoder(format string, s *Sink) zapcore.Encoder {
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.EncodeTime = "time", utc
	enc.MessageKey, enc.NameKey, enc.StacktraceKey = "message", "logger", "stack"
	enc.EncodeDuration = zapcore.StringDurationEncoder
	if s.file == nil && (format == FormatConsole || format == FormatAuto && isTerminal(s.out)) {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		return zapcore.NewConsoleEncoder(enc)
	}
	return zapcore.NewJSONEncoder(enc)
}

func utc(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	zapcore.RFC3339NanoTimeEncoder(t.UTC(), enc)
}

func newLogger(format string, level zapcore.LevelEnabler, stream *Stream) *zap.Logger {
	core := zapcore.NewCore(newEncoder(format, stream.sink), zapcore.Lock(zapcore.AddSync(stream)), level)
	return zap.New(core, zap.ErrorOutput(zapcore.AddSync(stream)))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
