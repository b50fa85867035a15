//go:build unix

package app

import (
	"os"
	"os/signal"
	"syscall"
)

// reloadSignals returns a channel of the signals to reload, SIGHUP, until stop is called.
func reloadSignals() (signals <-chan os.Signal, stop func()) { return notify(syscall.SIGHUP) }

// reopenSignals returns a channel of the signals to open log files again, SIGUSR1, until stop is
// called.
func reopenSignals() (signals <-chan os.Signal, stop func()) { return notify(syscall.SIGUSR1) }

func notify(of os.Signal) (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, of)
	return c, func() { signal.Stop(c) }
}
