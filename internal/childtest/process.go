package childtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Process is what tests need of /proc/PID/stat (proc(5)).
type Process struct {
	ID, Parent, Session int
	State               string // one letter; Z has ended and waits to be collected
}

// Processes lists the processes of the host.
func Processes() (list []Process) {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if p, ok := ReadProcess(pid); ok {
			list = append(list, p)
		}
	}
	return list
}

// ReadProcess reads one. A process may end while we look, so that is no error.
func ReadProcess(pid int) (Process, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, false
	}
	// The command, in parentheses, may hold anything, so start after it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 4 {
		return Process{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	session, err2 := strconv.Atoi(fields[3])
	return Process{pid, parent, session, fields[0]}, err == nil && err2 == nil
}

const pollTime = 5 * time.Millisecond // between looks at a foreign process

// Poll asks until the answer is true or ctx is done. Foreign processes tell
// nobody when they are ready; our own code does, and is not polled.
func Poll(ctx context.Context, f func() bool) error {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(errors.New("waited too long"), ctx.Err())
		}
	}
	return nil
}
