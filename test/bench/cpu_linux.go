package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the CPU time that all threads of a process have used, user and
// system, to the nanosecond: /proc/PID/stat only counts ticks of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	// How the kernel names the clock of another process, see MAKE_PROCESS_CPUCLOCK
	// in linux/posix-timers.h and clock_getcpuclockid(3).
	const scheduled = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|scheduled, &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
