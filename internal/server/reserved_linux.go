package server

import (
	"net"
	"syscall"
)

// reserved creates Unix sockets that only their owner may use until their group and mode
// are changed: bind gives the file the mode of the socket, minus the umask.
func reserved() *net.ListenConfig {
	return &net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) error {
		return socket.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
}
