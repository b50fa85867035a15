// Package logging creates the logger of the program.
package logging

import (
	"errors"
	"fmt"
	"io"
	"os"

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

// Config configures the log.
type Config struct {
	// Level is debug, info, warn or error.
	Level string
	// Format is json, console, or auto for console on a terminal and json
	// elsewhere.
	Format string
}

// Validate reports every mistake.
func (c Config) Validate() error {
	var errs []error
	if level, err := zapcore.ParseLevel(c.Level); err != nil || level > zapcore.ErrorLevel {
		errs = append(errs, fmt.Errorf("level: %q is none of debug, info, warn, error", c.Level))
	}
	switch c.Format {
	case FormatAuto, FormatJSON, FormatConsole:
	default:
		errs = append(errs, fmt.Errorf("format: %q is none of auto, json, console", c.Format))
	}
	return errors.Join(errs...)
}

// New returns a logger that writes to w. Times are in RFC 3339 and UTC, keys in snake case.
func New(c Config, w io.Writer) (*zap.Logger, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, err
	}
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	enc.MessageKey, enc.NameKey, enc.StacktraceKey = "message", "logger", "stack"
	enc.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if c.Format == FormatConsole || c.Format == FormatAuto && isTerminal(w) {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)
	return zap.New(core, zap.ErrorOutput(zapcore.AddSync(w))), nil
}

func isTerminal(w io.Writer) bool {
	if s, ok := w.(*Sink); ok {
		w = s.out
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
