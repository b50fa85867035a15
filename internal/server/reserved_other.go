//go:build !linux

package server

import "net"

// reserved cannot restrict a Unix socket before bind on this system, where a socket has no
// mode before.
func reserved() *net.ListenConfig { return &net.ListenConfig{} }
