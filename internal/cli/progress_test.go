package cli

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWithoutATerminalProgressIsALineEveryTenSecondsAndOneAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := newProgress(&out, 30)
		for range 3 {
			time.Sleep(progressLines)
			p.Made(10)
		}
		p.close()
		if want := "10 of 30 in 10s, 1 a second\n20 of 30 in 20s, 1 a second\n30 of 30 in 30s, 1 a second\n"; out.String() != want {
			t.Errorf("got:\n%swant:\n%s", out.String(), want)
		}
	})
}
