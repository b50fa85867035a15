//go:build !unix

package app

import "os"

// reloadSignals returns a channel without signals: this system has no SIGHUP.
func reloadSignals() (signals <-chan os.Signal, stop func()) { return nil, func() {} }

// reopenSignals returns a channel without signals: this system has no SIGUSR1.
func reopenSignals() (signals <-chan os.Signal, stop func()) { return nil, func() {} }
