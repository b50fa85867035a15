//go:build unix

package app

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/vault-authz/vault-authz/internal/logging"
)

// reopenAtSignal opens log files again at SIGUSR1, when what rotates logs has renamed
// them, until stop is called.
func reopenAtSignal(logs *logging.Logs) (stop func()) {
	signals, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		for {
			select {
			case <-signals:
				logs.Log.Named("logging").Info("opening log files again")
				logs.Reopen()
			case <-ended:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(ended)
	}
}
