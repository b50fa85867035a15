//go:build !linux

package server

import "net"

// reserved would make Unix sockets that are never open to everybody, but here a
// socket has no mode before it is bound.
func reserved() *net.ListenConfig { return &net.ListenConfig{} }
