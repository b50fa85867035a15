package parts

import (
	"fmt"
	"os"
	"strings"
)

// zombie says whether a process has ended and was not waited for.
func zombie(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(raw), ") Z ")
}
