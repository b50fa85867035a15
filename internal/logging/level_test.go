package logging

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestALevelThatIsSetForAWhileOutlivesAReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLevel(zap.WarnLevel)
		var ends []zapcore.Level
		ended := func(configured zapcore.Level) { ends = append(ends, configured) }
		want := func(when string, current, configured zapcore.Level, left time.Duration) {
			t.Helper()
			synctest.Wait()
			is, then, until := l.State()
			if is != current || then != configured || !l.Enabled(current) || l.Enabled(current-1) {
				t.Errorf("%s: %s and then %s, want %s and then %s", when, is, then, current, configured)
			}
			if left == 0 != until.IsZero() || left > 0 && time.Until(until) != left {
				t.Errorf("%s: until %s, want %s from now", when, until, left)
			}
		}
		want("at the start", zap.WarnLevel, zap.WarnLevel, 0)
		l.Configure(zap.InfoLevel)
		want("after a reload", zap.InfoLevel, zap.InfoLevel, 0)
		l.SetFor(zap.DebugLevel, time.Minute, ended)
		time.Sleep(30 * time.Second)
		l.Configure(zap.ErrorLevel)
		want("after a reload meanwhile", zap.DebugLevel, zap.ErrorLevel, 30*time.Second)
		l.SetFor(zap.InfoLevel, 2*time.Minute, ended)
		time.Sleep(time.Minute)
		want("after the end of the first span", zap.InfoLevel, zap.ErrorLevel, time.Minute)
		if len(ends) != 0 {
			t.Errorf("ended: %v", ends)
		}
		l.Configure(zap.WarnLevel)
		time.Sleep(time.Minute)
		want("after the end", zap.WarnLevel, zap.WarnLevel, 0)
		if len(ends) != 1 || ends[0] != zap.WarnLevel {
			t.Errorf("ended with %v, want one warn", ends)
		}
		l.Configure(zap.DebugLevel)
		want("after a reload later", zap.DebugLevel, zap.DebugLevel, 0)
	})
}
