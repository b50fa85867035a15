package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressLines is how often a line is written where there is no terminal.
const progressLines = 10 * time.Second

// A progress shows how far a long operation has got: as a bar on a terminal, elsewhere as a
// line every ten seconds.
type progress struct {
	out          io.Writer
	total, done  int
	began, wrote time.Time
	// why is what the operation waits for.
	why string
	// bar is nil where there is no terminal.
	bar *progressbar.ProgressBar
}

func newProgress(out io.Writer, total int) *progress {
	p := &progress{out: out, total: total, began: time.Now(), wrote: time.Now()}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(40), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true),
		)
	}
	return p
}

// of says how many there are, once that is known.
func (p *progress) of(total int) {
	p.total = total
	if p.bar != nil {
		p.bar.ChangeMax(total)
	}
}

// Made counts n more. It is not safe for concurrent use.
func (p *progress) Made(n int) {
	p.done += n
	p.why = ""
	if p.bar != nil {
		_ = p.bar.Add(n)
		return
	}
	// The last line is that of close.
	if time.Since(p.wrote) >= progressLines && p.done != p.total {
		p.wrote = time.Now()
		p.line()
	}
}

// Waiting says why the operation waits. The same reason is said once.
func (p *progress) Waiting(why error, pause time.Duration) {
	if p.why == why.Error() {
		return
	}
	p.why = why.Error()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintf(p.out, "%s; trying again in %s, later less often\n", printable(p.why), pause.Round(100*time.Millisecond))
}

func (p *progress) line() {
	took := time.Since(p.began)
	fmt.Fprintf(p.out, "%d of %d in %s, %.0f a second\n", p.done, p.total, took.Round(time.Second), float64(p.done)/max(took.Seconds(), 0.001))
}

// close ends the bar, and says how long it took.
func (p *progress) close() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	if p.total > 0 {
		p.line()
	}
}
