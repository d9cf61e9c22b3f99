package dbfile

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Suffixes are the files of a database, by what follows its name.
var Suffixes = [...]string{"", "-wal", "-shm"}

// SetAside renames the files of a path, and returns the new name of the first:
// NAME.damaged-TIME.
func SetAside(path string, now time.Time) (string, error) {
	base := path + ".damaged-" + now.UTC().Format("20060102T150405Z")
	name := base
	for n := 2; exists(name) || exists(name+"-wal"); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	for _, suffix := range Suffixes {
		if err := os.Rename(path+suffix, name+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return name, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
