package memory

import (
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// memoryShare is how much of the control group's memory the Go heap and
	// stacks may use before garbage is collected more often, in percent. The
	// rest is for what the runtime does not count: SQLite's pages, the program
	// itself and the kernel's socket buffers. Our choice.
	memoryShare = 80
	// noMemoryLimit is more than any host has: control groups of version 1 show
	// the largest number of pages where there is no limit.
	noMemoryLimit = 1 << 60
	// mostGroups bounds the way from our control group to the root. Our choice;
	// systemd uses three or four.
	mostGroups = 64
)

// Limit sets the limit at which the runtime collects garbage more often
// (GOMEMLIMIT), unless the environment has. Without it the heap may grow to
// three times what lives (Pace), and the kernel slows or kills a process
// that has a third of it in use. need is how much the settings allow to be in use
// at once, in bytes: when the limit is less, the log says so.
func Limit(log *slog.Logger, need int64) {
	if set := os.Getenv("GOMEMLIMIT"); set != "" {
		log.Info("memory limit", "bytes", debug.SetMemoryLimit(-1), "source", "GOMEMLIMIT")
		return
	}
	group, source := groupMemory(os.DirFS("/"))
	if group == 0 {
		log.Info("no memory limit: control group has none", "fix", "set MemoryHigh= in the unit, or GOMEMLIMIT")
		return
	}
	limit := group / 100 * memoryShare
	debug.SetMemoryLimit(limit)
	log.Info("memory limit", "bytes", limit, "source", source, "group", group)
	if need > limit {
		log.Warn("twice limits.header_memory plus dns.cache_size exceeds the memory limit", "need", need, "limit", limit,
			"fix", "make them smaller, or the control group's limit larger")
	}
}

// groupMemory returns the smallest limit on the memory of this process's
// control group and those above it, and the file that has it; 0 is none. root
// is the root directory.
func groupMemory(root fs.FS) (limit int64, source string) {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, ""
	}
	limit = noMemoryLimit
	for line := range strings.Lines(string(text)) {
		dir, files := memoryFiles(strings.TrimSpace(line))
		for range mostGroups {
			for _, name := range files {
				file := path.Join(dir.mount, dir.group, name)
				if n := readLimit(root, file); n < limit {
					limit, source = n, "/"+file
				}
			}
			if dir.group == "." {
				break
			}
			dir.group = path.Dir(dir.group)
		}
	}
	if source == "" {
		return 0, ""
	}
	return limit, source
}

// groupDir is the directory of a control group: where its hierarchy is mounted,
// and its place there, "." for the root.
type groupDir struct{ mount, group string }

// memoryFiles reads a line of /proc/self/cgroup (cgroups(7)): where limits on
// memory stand, and in which files; none when the line is of another
// controller.
func memoryFiles(line string) (groupDir, []string) {
	parts := strings.SplitN(line, ":", 3)
	if len(parts) != 3 {
		return groupDir{group: "."}, nil
	}
	group := path.Join(".", path.Clean("/" + parts[2])[1:])
	switch parts[1] {
	case "": // version 2
		return groupDir{"sys/fs/cgroup", group}, []string{"memory.high", "memory.max"}
	case "memory": // version 1
		return groupDir{"sys/fs/cgroup/memory", group}, []string{"memory.limit_in_bytes", "memory.soft_limit_in_bytes"}
	}
	return groupDir{group: "."}, nil
}

// readLimit returns the number in a file, math.MaxInt64 when there is none or
// it says "max".
func readLimit(root fs.FS, file string) int64 {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n <= 0 {
		return math.MaxInt64
	}
	return n
}
