package tlsfiles

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// Interval is the interval at which the files are read.
const Interval = 5 * time.Second

// A Watch is a set of files in use. It is safe for concurrent use.
type Watch struct {
	files   Files
	log     *zap.Logger
	current atomic.Pointer[Material]

	mu sync.Mutex
	// problem is why the files cannot be used now. It is logged once.
	problem string
}

// Open reads the files, and returns an error if they cannot be used.
func Open(f Files, log *zap.Logger) (*Watch, error) {
	m, err := f.Read()
	if err != nil {
		return nil, err
	}
	w := &Watch{files: f, log: log}
	w.current.Store(m)
	return w, nil
}

// Current returns the Material to use.
func (w *Watch) Current() *Material { return w.current.Load() }

// Run reads the files again whenever they change, until ctx ends. It returns nil.
func (w *Watch) Run(ctx context.Context) error {
	for backoff.Sleep(ctx, Interval) == nil {
		w.Reload()
	}
	return nil
}

// Reload reads the files now. The previous content stays in use unless all files are valid:
// files that are replaced one after the other do not match for a moment.
func (w *Watch) Reload() {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.current.Load()
	m, err := w.read(before)
	if err != nil {
		if problem := err.Error(); problem != w.problem {
			w.problem = problem
			w.log.Warn("TLS files not read again, what was read last stays in use", zap.Error(err))
		}
		return
	}
	recovered := w.problem != ""
	w.problem = ""
	if m != before {
		w.current.Store(m)
	}
	if m != before || recovered {
		w.log.Info("TLS files read again", m.ends().fields()...)
	}
}

// read returns before if the content of the files is unchanged.
func (w *Watch) read(before *Material) (*Material, error) {
	raw, err := w.files.contents()
	if err != nil {
		return nil, err
	}
	m := before
	if !before.equal(raw) {
		if m, err = w.files.parse(raw); err != nil {
			return nil, err
		}
	}
	return m, w.files.usable(m, time.Now())
}

// A Status is the status of files in use.
type Status struct {
	// Certificate is when the certificate expires, and Authorities when the first
	// authority does. Each is zero if it is not used.
	Certificate, Authorities time.Time
	// Refused says that the files cannot be used now, so that their previous content is
	// in use.
	Refused bool
}

// Status returns the status of the files.
func (w *Watch) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.current.Load().ends()
	s.Refused = w.problem != ""
	return s
}

func (m *Material) ends() (s Status) {
	if m.Certificate != nil {
		s.Certificate = m.Certificate.Leaf.NotAfter
	}
	for _, c := range m.authorities {
		if s.Authorities.IsZero() || c.NotAfter.Before(s.Authorities) {
			s.Authorities = c.NotAfter
		}
	}
	return s
}

func (s Status) fields() []zap.Field {
	var fields []zap.Field
	if !s.Certificate.IsZero() {
		fields = append(fields, zap.Time("certificate_expires", s.Certificate))
	}
	if !s.Authorities.IsZero() {
		fields = append(fields, zap.Time("authorities_expire", s.Authorities))
	}
	return fields
}
