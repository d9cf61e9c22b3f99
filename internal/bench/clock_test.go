package main

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// noSuchPID is above every process id (PID_MAX_LIMIT).
const noSuchPID = 1<<22 + 1

func TestTheClockOfAProcessIsItsCPUTime(t *testing.T) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	const tick = 20 * time.Millisecond // rusage may count in ticks
	before := used()
	got, err := readClock(processClock(os.Getpid()))
	if after := used(); err != nil || got < before-tick || got > after+tick {
		t.Errorf("readClock = %v, %v; want from %v to %v", got, err, before, after)
	}
	if _, err := readClock(processClock(noSuchPID)); err == nil {
		t.Error("the clock of a process that is not there can be read")
	}
}

func TestThePeakIsReadFromTheStatus(t *testing.T) {
	if got, err := parsePeak("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"); got != 2<<20 || err != nil {
		t.Errorf("parsePeak = %v, %v; want 2 MiB", got, err)
	}
	for _, bad := range []string{"", "VmHWM:", "VmHWM: 5 MB", "VmHWM: x kB"} {
		if got, err := parsePeak(bad); err == nil {
			t.Errorf("parsePeak(%q) = %v; want an error", bad, got)
		}
	}
}

func TestAllocationsAreReadFromTheMetrics(t *testing.T) {
	const text = "# TYPE go_memstats_mallocs_total counter\ngo_memstats_mallocs_total 1.5e+06\nother 1\ngo_memstats_alloc_bytes_total 4096\n"
	if got, err := parseAllocations(text); got != (allocations{1.5e6, 4096}) || err != nil {
		t.Errorf("parseAllocations = %v, %v", got, err)
	}
	for _, bad := range []string{"", "go_memstats_mallocs_total 1\n", "go_memstats_mallocs_total x\ngo_memstats_alloc_bytes_total 1\n"} {
		if got, err := parseAllocations(bad); err == nil {
			t.Errorf("parseAllocations(%q) = %v; want an error", bad, got)
		}
	}
}
