package rulefile

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// maxMaps is our limit: all of them are in memory.
const maxMaps = 100

// mapPrefix begins an item that names a map file.
const mapPrefix = "map:"

// maps are the map files that the rules of one set name. Each is read once for
// domains and once for networks, however many keys name it.
type maps struct {
	dir        string
	now        time.Time
	old        *maps // of the set before, whose unchanged files are not read again
	guard      *guard
	domainsOf  map[string]*mapOf[pattern.Domain]
	networksOf map[string]*mapOf[pattern.Network]
	errs       tomlfile.Errors // what is wrong in the files
}

// mapOf is one map file as domains or as networks.
type mapOf[P any] struct {
	file    MapFile
	info    fs.FileInfo // as it was when it was read
	pattern P
	err     error // why there is no pattern
}

func newMaps(dir string, now time.Time, old *maps) *maps {
	if old == nil {
		old = &maps{}
	}
	return &maps{
		dir: dir, now: now, guard: newGuard(dir), old: &maps{domainsOf: old.domainsOf, networksOf: old.networksOf},
		domainsOf: make(map[string]*mapOf[pattern.Domain]), networksOf: make(map[string]*mapOf[pattern.Network]),
	}
}

// domains returns the pattern of a map of domains.
func (m *maps) domains(name string) (pattern.Domain, error) {
	if m == nil {
		return pattern.Domain{}, errNoMaps
	}
	return load(m, m.domainsOf, m.old.domainsOf, name, func(data []byte) (pattern.Domain, int, []pattern.MapProblem) {
		list, problems := pattern.ParseDomainMap(name, data)
		if list == nil {
			return pattern.Domain{}, 0, problems
		}
		return list.Pattern(), list.Len(), nil
	})
}

// networks returns the pattern of a map of networks.
func (m *maps) networks(name string) (pattern.Network, error) {
	if m == nil {
		return pattern.Network{}, errNoMaps
	}
	return load(m, m.networksOf, m.old.networksOf, name, func(data []byte) (pattern.Network, int, []pattern.MapProblem) {
		list, problems := pattern.ParseNetMap(name, data)
		if list == nil {
			return pattern.Network{}, 0, problems
		}
		return list.Pattern(), list.Len(), nil
	})
}

var errNoMaps = tomlfile.Faultf("write its items here", "there are no map files where this is read")

// load returns the pattern of a map, from known when it was asked for before, or
// from old when the file has not changed since.
func load[P any](m *maps, known, old map[string]*mapOf[P], name string, parse func([]byte) (P, int, []pattern.MapProblem)) (P, error) {
	if o, ok := known[name]; ok {
		return o.pattern, o.err
	}
	o := &mapOf[P]{file: MapFile{Path: filepath.Join(m.dir, name), Read: m.now}}
	before, ok := old[name]
	switch {
	case !isMapName(name):
		o.err = tomlfile.Faultf(`write the path of a file below rules_dir, as in "map:maps/partners.txt"`, "%q cannot name a map", name)
	case len(m.domainsOf)+len(m.networksOf) >= maxMaps:
		o.err = tomlfile.Faultf("join some", "there are more than %d maps", maxMaps)
		return o.pattern, o.err
	case ok && !changed(before.file.Path, before.info):
		o = before
	default:
		o.read(m, parse)
	}
	known[name] = o
	return o.pattern, o.err
}

// read reads the file. What is wrong in it is said with its lines, and where
// rules name it only what keeps it from being read.
func (o *mapOf[P]) read(m *maps, parse func([]byte) (P, int, []pattern.MapProblem)) {
	if !m.guard.inside(o.file.Path) {
		o.err = tomlfile.Fault{Told: true}
		return
	}
	data, info, err := readWhole(o.file.Path, pattern.MaxMapBytes)
	if err != nil {
		o.err = mapFault(err)
		return
	}
	m.guard.file(o.file.Path, info)
	o.info = info
	var problems []pattern.MapProblem
	o.pattern, o.file.Entries, problems = parse(data)
	for _, p := range problems {
		m.errs.Add(tomlfile.Problem{File: o.file.Path, Line: p.Line, Text: p.Text, Fix: p.Fix})
		o.err = tomlfile.Fault{Told: true}
	}
}

func mapFault(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return tomlfile.Faultf("create the file with one item per line, or correct the name", "there is no such file: %v", err)
	case errors.Is(err, errNoFile):
		return tomlfile.Faultf("name a file", "the map is not a file")
	case errors.Is(err, errChanging):
		return tomlfile.Faultf(fixChanging, "the map %v", err)
	}
	return tomlfile.Faultf("make the file readable for the daemon", "the map cannot be read: %v", err)
}

// isMapName allows paths that stay below the directory of the rules. Files that
// begin with a dot are those of editors and of programs that copy.
func isMapName(name string) bool {
	if !fs.ValidPath(name) || name == "." || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c > '~' }) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return part[0] == '.' })
}

// stale reports whether a file has changed since it was read.
func (m *maps) stale() bool {
	for _, o := range m.domainsOf {
		if changed(o.file.Path, o.info) {
			return true
		}
	}
	for _, o := range m.networksOf {
		if changed(o.file.Path, o.info) {
			return true
		}
	}
	return false
}

// files returns the files in the order of their paths.
func (m *maps) files() []MapFile {
	var files []MapFile
	for _, o := range m.domainsOf {
		files = append(files, o.file)
	}
	for _, o := range m.networksOf {
		files = append(files, o.file)
	}
	slices.SortFunc(files, func(a, b MapFile) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Entries, b.Entries))
	})
	return files
}

// empty warns of maps without an item: of a program that writes one from a source
// that has failed, nothing else is seen.
func (m *maps) empty() []policy.Finding {
	var found []policy.Finding
	for _, f := range m.files() {
		if f.Entries == 0 {
			found = append(found, aboutFile(f.Path, CodeEmptyMap, "has no item: what names it matches nothing there", "add the items, or remove the map from the rules"))
		}
	}
	return found
}

// reads is how often a file is read that changes meanwhile.
const reads = 3

var (
	errNoFile   = errors.New("is not a file")
	errChanging = errors.New("changes while it is read")
)

const fixChanging = "replace the file by renaming a complete new file"

// readWhole returns what a regular file holds, and no more of it than shows that
// it is larger than limit.
func readWhole(path string, limit int64) ([]byte, fs.FileInfo, error) {
	return readSettled(path, func() ([]byte, fs.FileInfo, error) { return readOnce(path, limit) })
}

// readSettled reads again what changes meanwhile: who rewrites a file in place
// leaves half of it there for a moment.
func readSettled(path string, read func() ([]byte, fs.FileInfo, error)) ([]byte, fs.FileInfo, error) {
	for range reads {
		data, before, err := read()
		if err != nil {
			return nil, nil, err
		}
		if !changed(path, before) {
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

// changed reports whether path is another file than it was, or the same one
// with another content, as far as a file system tells.
func changed(path string, was fs.FileInfo) bool {
	info, err := os.Stat(path)
	return err != nil || was == nil || !os.SameFile(info, was) || info.Size() != was.Size() || !info.ModTime().Equal(was.ModTime())
}
