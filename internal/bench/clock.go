package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// threadClock is the CPU clock of the calling thread (CLOCK_THREAD_CPUTIME_ID).
const threadClock = 3

// processClock is the CPU clock of a process with all its threads, those that
// have ended included, as clock_getcpuclockid(3) makes it. It counts
// nanoseconds; the times in /proc/PID/stat count 10 ms.
func processClock(pid int) int { return ^pid<<3 | 2 }

// readClock reads a CPU clock.
func readClock(id int) (time.Duration, error) {
	var ts syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0, fmt.Errorf("reading CPU clock %d: %w", id, errno)
	}
	return time.Duration(ts.Nano()), nil
}

// forgetPeak has the system count the most memory of a process from now on
// (proc_pid_clear_refs(5)).
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// peakMemory returns the most memory that a process has had in use, in bytes,
// since it was started or forgetPeak was called.
func peakMemory(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parsePeak(string(text))
}

func parsePeak(status string) (float64, error) {
	_, rest, ok := strings.Cut(status, "VmHWM:")
	words := strings.Fields(rest)
	if !ok || len(words) < 2 || words[1] != "kB" {
		return 0, fmt.Errorf("no VmHWM in the status of the process")
	}
	kib, err := strconv.ParseFloat(words[0], 64)
	return kib * 1024, err
}

// machineLoad returns the load averages of the machine, or "?" when it has none.
func machineLoad() string {
	text, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(text)); err == nil && len(f) > 0 {
		return f[0]
	}
	return "?"
}
