package server

import (
	"net"
	"syscall"
)

// reserved makes Unix sockets that are open to nobody but their owner until they are
// given another group and mode: a socket that is bound gets the mode that it has
// before, less the umask.
func reserved() *net.ListenConfig {
	return &net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) error {
		return socket.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
}
