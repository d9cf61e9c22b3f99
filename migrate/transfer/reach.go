package transfer

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"dmarcgate/migrate"
)

// reach has the directories below which files are read.
type reach struct{ dirs []string }

// read reads a file below one of the directories.
func (r reach) read(name string) ([]byte, error) {
	for _, dir := range r.dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		rest, err := filepath.Rel(abs, name)
		if err != nil || rest == ".." || strings.HasPrefix(rest, "../") {
			continue
		}
		return readBelow(abs, rest)
	}
	return nil, fmt.Errorf("it is outside of %s; allow its directory with --files", strings.Join(r.dirs, ", "))
}

// readBelow reads a file of a directory; links that lead out of the directory are an
// error.
func readBelow(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // of a pipe, opening waits for its writer
	if err != nil {
		return nil, err
	}
	return readOpen(f)
}

// readFile reads the configuration itself, which the operator names.
func readFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return readOpen(f)
}

// readOpen reads and closes a file of a bounded size.
func readOpen(f *os.File) ([]byte, error) {
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", f.Name())
	}
	data, err := io.ReadAll(io.LimitReader(f, migrate.MaxFile+1))
	if err == nil && len(data) > migrate.MaxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", f.Name(), migrate.MaxFile)
	}
	return data, err
}
