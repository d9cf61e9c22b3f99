package gather

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/publicsuffix"

	"dmarcgate/config"
	"dmarcgate/doctor"
)

const (
	maxRuleFiles = 10000    // whose times are looked at
	maxListHead  = 64 << 10 // bytes of a public suffix list in which its VERSION stands
	maxProcesses = 100000   // whose open files are looked at
)

// files looks at the times of files.
func files(cfg *config.Config, path string) func(*doctor.Host) {
	changed, list := newest(path, cfg.RulesDir), suffixList(cfg.Discovery)
	return func(h *doctor.Host) { h.Changed, h.List = changed, list }
}

// newest is the time of the file that was written last.
func newest(path, rules string) (last time.Time) {
	paths := []string{path}
	if rules != "" {
		more, _ := filepath.Glob(filepath.Join(rules, "*.toml")) // a directory with a strange name has none
		paths = append(paths, more[:min(len(more), maxRuleFiles)]...)
	}
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

var dateOf = regexp.MustCompile(`\d{4}-\d{2}-\d{2}`)

// suffixList returns the date of the public suffix list, zero when none is used:
// that of its line VERSION, else the time of the file.
func suffixList(d config.Discovery) doctor.SuffixList {
	if d.Method != "psl" && !d.Compare {
		return doctor.SuffixList{}
	}
	list := doctor.SuffixList{Path: d.PSLFile}
	text := publicsuffix.List.String()
	if d.PSLFile != "" {
		text = ""
		if info, err := os.Stat(d.PSLFile); err == nil {
			list.Date = info.ModTime()
		}
		if f, err := os.Open(d.PSLFile); err == nil {
			defer f.Close()
			for sc := bufio.NewScanner(io.LimitReader(f, maxListHead)); sc.Scan(); {
				if v, ok := strings.CutPrefix(sc.Text(), "// VERSION:"); ok {
					text = v
				}
			}
		}
	}
	if date, err := time.Parse(time.DateOnly, dateOf.FindString(text)); err == nil {
		list.Date = date
	}
	return list
}

// storeFacts looks at the store as the daemon's process may use it, and at other
// processes that have it open.
func storeFacts(h *doctor.Host) {
	path := h.Config.Store.Path
	if h.Config.Store.Durability == "off" || !root() {
		return
	}
	pid := 0
	if h.Daemon != nil {
		pid = h.Daemon.PID
		h.StoreClosed = closedFor(pid, path)
	}
	h.StoreUsers = users(path, pid)
}

// users are the processes but one, and this one, that have a file open to write.
func users(path string, but int) (list []string) {
	want, err := os.Stat(path)
	if err != nil {
		return nil
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs[:min(len(dirs), maxProcesses)] {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if pid == but || pid == os.Getpid() || !opens(dir, want) {
			continue
		}
		name, _ := os.ReadFile(dir + "/comm")
		list = append(list, fmt.Sprintf("%s, process %d", strings.TrimSpace(string(name)), pid))
	}
	return list
}

// opens tells whether a process has a file open to write.
func opens(dir string, want os.FileInfo) bool {
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(fds, func(fd fs.DirEntry) bool {
		link, err := fd.Info()
		if err != nil || link.Mode().Perm()&0o200 == 0 { // of the link: how the file is open
			return false
		}
		target, err := os.Readlink(dir + "/fd/" + fd.Name())
		if err != nil || filepath.Base(target) != want.Name() {
			return false
		}
		info, err := os.Stat(dir + "/fd/" + fd.Name())
		return err == nil && os.SameFile(info, want)
	})
}

// closedFor returns the place that keeps a process from writing to the store: the
// file, its log or its directory.
func closedFor(pid int, path string) string {
	uid, groups, ok := identity(pid)
	if !ok {
		return ""
	}
	for _, p := range []string{filepath.Dir(path), path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(p)
		if err == nil && !writes(uid, groups, info) {
			return fmt.Sprintf("%s (%s)", p, ownerOf(info))
		}
	}
	return ""
}

// identity reads the user and the groups of a process (proc(5), status).
func identity(pid int) (uid int, groups []int, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, nil, false
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "Uid:" && words[0] != "Gid:" && words[0] != "Groups:" {
			continue
		}
		for _, w := range words[1:] {
			n, err := strconv.Atoi(w)
			switch {
			case err != nil:
				return 0, nil, false
			case words[0] == "Uid:":
				uid, ok = n, true // the last ones are the saved and the file system's: the same for a daemon
			default:
				groups = append(groups, n)
			}
		}
	}
	return uid, groups, ok
}

// writes decides as the kernel does without ACLs (path_resolution(7)).
func writes(uid int, groups []int, info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	switch {
	case !ok || uid == 0:
		return true
	case uid == int(st.Uid):
		return mode&0o200 != 0
	case slices.Contains(groups, int(st.Gid)):
		return mode&0o020 != 0
	}
	return mode&0o002 != 0
}

// ownerOf describes whose a file is.
func ownerOf(info os.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "mode " + fmt.Sprintf("%04o", info.Mode().Perm())
	}
	return fmt.Sprintf("mode %04o of %s:%s", info.Mode().Perm(), accountName("/etc/passwd", st.Uid), accountName("/etc/group", st.Gid))
}

// accountName is the name of an id in a file of accounts, or the id.
func accountName(file string, id uint32) string {
	number := strconv.FormatUint(uint64(id), 10)
	text, err := os.ReadFile(file)
	if err != nil {
		return number
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(line, ":"); len(fields) > 2 && strings.TrimSpace(fields[2]) == number {
			return fields[0]
		}
	}
	return number
}
