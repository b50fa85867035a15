package parts

import "syscall"

// ownGroup also has the kernel end the process when we are killed without a
// chance to do it, as by the time limit of go test.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
