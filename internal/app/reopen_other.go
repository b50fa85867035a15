//go:build !unix

package app

import "github.com/vault-authz/vault-authz/internal/logging"

// reopenAtSignal does nothing: this system has no SIGUSR1.
func reopenAtSignal(*logging.Logs) (stop func()) { return func() {} }
