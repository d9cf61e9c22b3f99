package whatif

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lastFile is the file in state_dir that has the last report, for the status pages.
const lastFile = "what-if.json"

// maxLast is the largest report that is kept, in bytes: our limit. The largest
// report of a run with 10,000 lines in each table is some 3 MiB.
const maxLast = 8 << 20

// Last is the last report that was kept.
type Last struct {
	Made   time.Time       `json:"made"`
	Report json.RawMessage `json:"report"` // as --json prints it
}

// ReadLast reads the last report from state_dir; nil when there is none.
func ReadLast(dir string) (*Last, error) {
	f, err := os.OpenFile(filepath.Join(dir, lastFile), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", f.Name())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxLast+1))
	if err == nil && len(text) > maxLast {
		err = fmt.Errorf("%s has more than %d MiB", f.Name(), maxLast>>20)
	}
	if err != nil {
		return nil, err
	}
	last := &Last{}
	if err := json.Unmarshal(text, last); err != nil {
		return nil, fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	return last, nil
}

// keep writes the report to state_dir. The file belongs to whom the directory
// belongs to, so that the daemon can read what root has tried.
func (r *report) keep(dir string, now time.Time) error {
	report, err := json.Marshal(r.document())
	if err != nil {
		return err
	}
	text, err := json.Marshal(Last{now.UTC(), report})
	if err == nil && len(text) > maxLast {
		err = fmt.Errorf("the report has more than %d MiB", maxLast>>20)
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, lastFile+".") // with a random name, so that no other user can make the file before
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails when all went well
	owner := info.Sys().(*syscall.Stat_t)
	_, err = f.Write(text)
	if os.Geteuid() == 0 {
		err = errors.Join(err, f.Chown(int(owner.Uid), int(owner.Gid)))
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, lastFile))
	}
	return err
}
