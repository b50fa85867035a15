package parts

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// A Command is a program to start.
type Command struct {
	// Name is its name in messages.
	Name string
	Path string
	Args []string
	// Env is the whole environment, nil for the environment of this process.
	Env []string
	Dir string
	// Root is the root folder of the program, that of this process if empty. Path and Dir are
	// in it.
	Root string
	// Output receives the standard output and the standard error of the program;
	// nil keeps them for [Process.Log].
	Output io.Writer
}

// A Process is a program in a process group of its own. It is safe for concurrent use.
type Process struct {
	name   string
	cmd    *exec.Cmd
	log    Log
	exited chan struct{}
}

// Start starts a program and collects its output. It must be ended with [Process.Stop] or
// [Process.Kill]: a context would end the program, but not its children.
func Start(c Command) (*Process, error) {
	p := &Process{name: c.Name, exited: make(chan struct{})}
	p.cmd = exec.Command(c.Path, c.Args...)
	p.cmd.Env, p.cmd.Dir = c.Env, c.Dir
	out := c.Output
	if out == nil {
		out = &p.log
	}
	// The same writer for both makes os/exec use one pipe.
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = ownGroup()
	p.cmd.SysProcAttr.Chroot = c.Root
	// Do not wait for children that inherit the output.
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// Name returns its name in messages.
func (p *Process) Name() string { return p.name }

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log returns the output so far, empty if [Command.Output] is set.
func (p *Process) Log() string { return p.log.String() }

// Exited is closed once the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Signal sends a signal to the process and its children.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %s to %s: %w", sig, p.name, err)
	}
	return nil
}

// Yield gives the process the lowest priority.
func (p *Process) Yield() error {
	const lowest = 19
	if err := syscall.Setpriority(syscall.PRIO_PGRP, p.cmd.Process.Pid, lowest); err != nil {
		return fmt.Errorf("lowering the priority of %s: %w", p.name, err)
	}
	return nil
}

// Stop asks the process to end, and kills it if it runs longer than grace.
func (p *Process) Stop(grace time.Duration) {
	_ = p.Signal(syscall.SIGTERM)
	// A stopped process does not handle SIGTERM.
	_ = p.Signal(syscall.SIGCONT)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
	}
	p.Kill()
}

// Kill kills the process and its children, also if they are stopped by a signal, and waits
// for the process.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.exited
}

// failed adds the name and the output of the process to an error.
func (p *Process) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w\n%s", p.name, err, p.Log())
}
