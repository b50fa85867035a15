package partstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machineFolder is the variable with the folder for the roots of a machine. It tells a test
// that it runs on a machine of its own.
const machineFolder = "TEST_MACHINE_FOLDER"

// OnItsOwnMachine runs a test in a process that has a network of its own, where every port is
// free and every address of 10.0.0.0/8 is a local one. The user is root there, and has no more
// rights than before outside of it. It returns true in that process, where the test goes on,
// and false after that process has ended with the result of the test. There is no way out of
// the machine: download before.
func OnItsOwnMachine(t *testing.T) bool {
	t.Helper()
	if os.Getenv(machineFolder) != "" {
		// What is mounted here must not appear outside.
		if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), ownNetwork()); err != nil {
			t.Fatal(err)
		}
		return true
	}
	limit := time.Hour
	if deadline, ok := t.Deadline(); ok {
		limit = time.Until(deadline) - 5*time.Second
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v", "-test.timeout="+limit.String())
	cmd.Env = append(os.Environ(), machineFolder+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if cmd.Process == nil {
		t.Fatalf("this machine does not let a user have namespaces: %v; allow it, for example with sysctl kernel.apparmor_restrict_unprivileged_userns=0", err)
	}
	if err == nil && !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		err = errors.New("the test did not run")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

// ownNetwork gives the loopback interface of a new network its addresses.
func ownNetwork() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up); err != nil {
		return fmt.Errorf("starting the loopback interface: %w", err)
	}
	// The kernel takes /8 for the netmask. On this interface all of it is local, then.
	pods, err := unix.NewIfreq("lo:pods")
	if err != nil {
		return err
	}
	if err := pods.SetInet4Addr([]byte{10, 0, 0, 1}); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, pods); err != nil {
		return fmt.Errorf("adding the addresses of pods: %w", err)
	}
	return nil
}

// Root makes the root folder of a container, for a program at /program. Names of hosts are
// looked up in the text, which has the format of /etc/hosts. The folder must not be deleted by
// the test: folders of the machine are mounted in it.
func Root(t *testing.T, program, hosts string) string {
	t.Helper()
	root, err := os.MkdirTemp(os.Getenv(machineFolder), "root-") //nolint:usetesting // Nothing may delete it from here.
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(root, name) }
	for _, folder := range []string{"dev/shm", "etc", "proc", "tmp"} {
		err = errors.Join(err, os.MkdirAll(at(folder), 0o700))
	}
	err = errors.Join(err,
		os.WriteFile(at("etc/hosts"), []byte(hosts), 0o600),
		os.Symlink("/proc/self/fd/1", at("dev/stdout")), os.Symlink("/proc/self/fd/2", at("dev/stderr")),
		bind("/proc", at("proc")), bind(program, at("program")),
	)
	for _, name := range []string{"null", "random", "urandom", "zero"} {
		err = errors.Join(err, bind("/dev/"+name, at("dev/"+name)))
	}
	for _, name := range []string{"lib", "lib32", "lib64", "usr"} {
		switch target, missing := os.Readlink("/" + name); {
		case missing == nil:
			err = errors.Join(err, os.Symlink(target, at(name)))
		case !os.IsNotExist(missing):
			err = errors.Join(err, bind("/"+name, at(name)))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// bind makes a file or folder appear at another place, too.
func bind(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(to, 0o700)
	} else {
		err = os.WriteFile(to, nil, 0o600)
	}
	if err == nil {
		err = unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
	}
	if err != nil {
		return fmt.Errorf("mounting %s: %w", from, err)
	}
	return nil
}
