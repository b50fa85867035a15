package parts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// owner returns which of some processes has the loopback connection with a local port, 0
// if none has it.
func owner(port int, pids []int) int {
	raw, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0
	}
	local := fmt.Sprintf("0100007F:%04X", port)
	for line := range strings.SplitSeq(string(raw), "\n") {
		const address, inode = 1, 9
		fields := strings.Fields(line)
		if len(fields) <= inode || fields[address] != local {
			continue
		}
		for _, pid := range pids {
			if holds(pid, "socket:["+fields[inode]+"]") {
				return pid
			}
		}
	}
	return 0
}

// holds says whether a process has a file open.
func holds(pid int, what string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, f := range files {
		if target, err := os.Readlink(filepath.Join(dir, f.Name())); err == nil && target == what {
			return true
		}
	}
	return false
}
