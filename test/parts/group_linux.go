package parts

import "syscall"

// ownGroup also makes the kernel kill the process when this one is killed, for example by
// the time limit of go test.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
