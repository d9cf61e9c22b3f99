package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"dmarcgate/policy"
)

// Limits of map files: ours. A million networks of the longest form take 50 MB.
const (
	maxMapFile = 64 << 20
	maxMaps    = 100
)

// mapPrefix begins an item that names a map file.
const mapPrefix = "map:"

// reads is how often a file that changes meanwhile is read.
const reads = 3

var (
	errNoFile   = errors.New("is not a file")
	errChanging = errors.New("changes while it is read")
)

const mendChanging = "write a new file beside it, and rename that"

// maps are the map files that the rules of one set name. Each is read once for
// domains and once for networks.
type maps struct {
	dir  string
	now  time.Time
	old  *maps // of the set before, whose unchanged files are not read again
	doms map[string]*mapOf[policy.DomainPattern]
	nets map[string]*mapOf[policy.NetPattern]
	errs Errors
}

// mapOf is one map file.
type mapOf[P any] struct {
	MapFile
	info    fs.FileInfo // as it was when it was read
	pattern P
	err     error // why there is no pattern
}

func newMaps(dir string, now time.Time, old *maps) *maps {
	if old != nil {
		old.old = nil
	}
	return &maps{
		dir: dir, now: now, old: old,
		doms: make(map[string]*mapOf[policy.DomainPattern]), nets: make(map[string]*mapOf[policy.NetPattern]),
	}
}

// domains returns the pattern of a map of domains.
func (m *maps) domains(name string) (policy.DomainPattern, error) {
	return policy.DomainPattern{}, faultf("TODO", "TODO")
}

// networks returns the pattern of a map of networks.
func (m *maps) networks(name string) (policy.NetPattern, error) {
	return policy.NetPattern{}, faultf("TODO", "TODO")
}

func (m *maps) stale() bool      { return false }
func (m *maps) files() []MapFile { return nil }

// readWhole returns what a regular file holds, and no more of it than shows that
// it is larger than limit. A file that changes meanwhile is read again: who
// rewrites a file in place leaves half of it there for a moment.
func readWhole(path string, limit int64) ([]byte, fs.FileInfo, error) {
	for range reads {
		data, before, err := readOnce(path, limit)
		if err != nil {
			return nil, nil, err
		}
		after, err := os.Stat(path)
		if err == nil && unchanged(before, after) {
			return data, before, nil
		}
	}
	return nil, nil, errChanging
}

func readOnce(path string, limit int64) ([]byte, fs.FileInfo, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, nil, err
	} else if !info.Mode().IsRegular() { // to open a FIFO is to wait
		return nil, nil, errNoFile
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	return data, info, err
}

// unchanged reports whether two looks at a path found the same file with the
// same content, as far as a file system tells.
func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

var _ = cmp.Compare[int]
var _ = fmt.Sprint
var _ = filepath.Join
var _ = slices.Contains[[]int]
var _ = strings.Cut
