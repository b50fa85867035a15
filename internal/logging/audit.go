package logging

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap/zapcore"
)

// An Audit is a log whose writers learn whether a line was written. It has no level: every line
// is written. It is safe for concurrent use.
type Audit struct {
	encoder         zapcore.Encoder
	sink            *Sink
	written, failed atomic.Uint64
}

// auditName is the logger that the lines name.
const auditName = "audit"

// Write writes a line and waits until it is written, for a few seconds. fields must
// hold no secret.
func (a *Audit) Write(ctx context.Context, level zapcore.Level, message string, fields ...zapcore.Field) error {
	text, err := a.encoder.EncodeEntry(zapcore.Entry{Time: time.Now(), Level: level, LoggerName: auditName, Message: message}, fields)
	if err == nil {
		err = a.sink.Record(ctx, bytes.Clone(text.Bytes()))
		text.Free()
	}
	if err != nil {
		a.failed.Add(1)
		return err
	}
	a.written.Add(1)
	return nil
}
