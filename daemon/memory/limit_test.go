package memory

import (
	"testing"
	"testing/fstest"
)

// none is the largest number of pages, which control groups of version 1 show
// where there is no limit.
const none = "9223372036854771712\n"

// groups are files of control groups, and the limit that they set.
var groups = []struct {
	name   string
	files  map[string]string
	limit  int64
	source string
}{
	{"no control groups", nil, 0, ""},
	{"MemoryHigh of the unit", map[string]string{
		"proc/self/cgroup": "0::/system.slice/dmarcgate.service\n",
		"sys/fs/cgroup/system.slice/dmarcgate.service/memory.high": "1073741824\n",
		"sys/fs/cgroup/system.slice/dmarcgate.service/memory.max":  "max\n",
	}, 1 << 30, "/sys/fs/cgroup/system.slice/dmarcgate.service/memory.high"},
	{"the smaller one of the two", map[string]string{
		"proc/self/cgroup":              "0::/a\n",
		"sys/fs/cgroup/a/memory.high":   "2000\n",
		"sys/fs/cgroup/a/memory.max":    "1000\n",
		"sys/fs/cgroup/a/memory.min":    "1\n",
		"sys/fs/cgroup/a/b/memory.high": "1\n",
	}, 1000, "/sys/fs/cgroup/a/memory.max"},
	{"a smaller one above", map[string]string{
		"proc/self/cgroup":                "0::/a/b/c\n",
		"sys/fs/cgroup/a/memory.max":      "500\n",
		"sys/fs/cgroup/a/b/c/memory.max":  "1000\n",
		"sys/fs/cgroup/a/b/c/memory.high": "max\n",
	}, 500, "/sys/fs/cgroup/a/memory.max"},
	{"a container, whose group is its root", map[string]string{
		"proc/self/cgroup":         "0::/\n",
		"sys/fs/cgroup/memory.max": "700\n",
	}, 700, "/sys/fs/cgroup/memory.max"},
	{"a group that is not shown in the container", map[string]string{
		"proc/self/cgroup":         "0::/docker/abc\n",
		"sys/fs/cgroup/memory.max": "700\n",
	}, 700, "/sys/fs/cgroup/memory.max"},
	{"a group above the container's root", map[string]string{
		"proc/self/cgroup":         "0::/../other\n",
		"sys/fs/cgroup/memory.max": "700\n",
	}, 700, "/sys/fs/cgroup/memory.max"},
	{"version 1", map[string]string{
		"proc/self/cgroup": "12:cpu,cpuacct:/x\n4:memory:/x\n0::/\n",
		"sys/fs/cgroup/memory/x/memory.limit_in_bytes":      "800\n",
		"sys/fs/cgroup/memory/x/memory.soft_limit_in_bytes": none,
		"sys/fs/cgroup/memory/memory.limit_in_bytes":        none,
		"sys/fs/cgroup/cpu/x/memory.limit_in_bytes":         "1\n",
	}, 800, "/sys/fs/cgroup/memory/x/memory.limit_in_bytes"},
	{"version 1 without a limit", map[string]string{
		"proc/self/cgroup":                           "4:memory:/\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes": none,
	}, 0, ""},
	{"version 2 without a limit", map[string]string{
		"proc/self/cgroup":            "0::/a\n",
		"sys/fs/cgroup/a/memory.high": "max\n",
	}, 0, ""},
	{"nonsense", map[string]string{
		"proc/self/cgroup":            "\n0\n0:\n::\n0::a/../../b\n",
		"sys/fs/cgroup/b/memory.high": "-5\n",
		"sys/fs/cgroup/b/memory.max":  "lots\n",
		"sys/fs/cgroup/memory.max":    "0\n",
	}, 0, ""},
}

func TestGroupMemory(t *testing.T) {
	for _, tt := range groups {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if limit, source := groupMemory(root); limit != tt.limit || source != tt.source {
				t.Errorf("groupMemory() = %d, %q; want %d, %q", limit, source, tt.limit, tt.source)
			}
		})
	}
}
