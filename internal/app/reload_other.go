//go:build !unix

package app

import "os"

// reloadSignals returns a channel without signals: this system has no SIGHUP.
func reloadSignals() (signals <-chan os.Signal, stop func()) { return nil, func() {} }
