//go:build !linux

package parts

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// owner returns which of some processes has the loopback connection with a local port, 0
// if none has it.
func owner(port int, pids []int) int {
	// -Fn writes p and the process, then n and from->to for each connection.
	out, _ := exec.Command("lsof", "-nP", fmt.Sprintf("-iTCP:%d", port), "-Fpn").Output()
	pid := 0
	for line := range strings.SplitSeq(string(out), "\n") {
		if id, ok := strings.CutPrefix(line, "p"); ok {
			pid, _ = strconv.Atoi(id)
			continue
		}
		for _, wanted := range pids {
			if pid == wanted && strings.HasPrefix(line, fmt.Sprintf("n127.0.0.1:%d->", port)) {
				return pid
			}
		}
	}
	return 0
}
