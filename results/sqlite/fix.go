package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"dmarcgate/results/dbfile"
)

var (
	// errGone means that the path names another file than the one that is open,
	// or none.
	errGone = errors.New("the file of the store was removed, renamed or replaced")
	// errNoFile means that there is none that could be opened.
	errNoFile = errors.New("the store has no file")
)

const (
	// reopenEvery is the time between two attempts to open a file.
	reopenEvery = time.Second
	// asideEvery is the time between two files that are set aside: a disk that
	// spoils every file must not be filled with them.
	asideEvery = time.Minute
)

// fix is what the writer does about its file.
type fix struct {
	tried time.Time // to open one
	aside time.Time // one was set aside
	err   error     // of the last attempt to open one

	said   string // to the log, of commits that fail
	saidAt time.Time
	failed int // commits since then
}

// sayEvery is how often the log is told of commits that go on failing alike.
const sayEvery = 10 * time.Second

// complain tells the log of a commit that failed.
func (s *Store) complain(err error) {
	m := &s.fix
	m.failed++
	if text := err.Error(); text != m.said || time.Since(m.saidAt) >= sayEvery {
		s.opt.Log.Error("cannot write results: results not recorded; mail unaffected", "commits", m.failed, "err", err)
		m.said, m.saidAt, m.failed = text, time.Now(), 0
	}
}

// relax tells the log that commits go well again.
func (s *Store) relax() {
	if s.fix.said != "" {
		s.opt.Log.Info("results are recorded again", "more_failed_commits", s.fix.failed)
		s.fix.said, s.fix.failed = "", 0
	}
}

// ensure sees to it that there is a file.
func (s *Store) ensure() error {
	if s.file != nil {
		return nil
	}
	if time.Since(s.fix.tried) < reopenEvery {
		return s.fix.err
	}
	s.fix.tried = time.Now()
	f, err := s.openFile(context.Background())
	if dbfile.IsDamage(err) && s.maySetAside() {
		f, err = s.beginAnew(context.Background(), err)
	}
	if err != nil {
		s.fix.err = fmt.Errorf("%w: opening it: %w", errNoFile, err)
		return s.fix.err
	}
	s.use(f)
	s.opt.Log.Warn("store file reopened", "store", f.id, "next", f.session.next)
	return nil
}

func (s *Store) maySetAside() bool {
	if time.Since(s.fix.aside) < asideEvery {
		return false
	}
	s.fix.aside = time.Now()
	return true
}

// replaced reports whether there is another file after an error that another
// file fixes.
func (s *Store) replaced(err error) bool {
	switch {
	case s.file == nil:
		return false
	case errors.Is(err, errGone):
		s.file.checking.stop()
		s.leave()
	case dbfile.IsDamage(err) && s.maySetAside():
		old := s.file
		old.checking.stop()
		f, failed := s.beginAnew(context.Background(), err)
		if failed != nil {
			s.opt.Log.Error("cannot create a new store file", "err", failed)
			if !old.gone(s.opt.Path) {
				return false // it could not be renamed
			}
			s.file, s.fix.err = nil, fmt.Errorf("%w: %w", errNoFile, failed)
			s.discard(old)
			return false
		}
		s.use(f)
		s.discard(old)
		return true
	default:
		return false
	}
	s.fix.tried = time.Time{}
	return s.ensure() == nil
}

// discard closes a file that is no longer used. SQLite leaves what has its name
// now alone, since the path is no longer the file's.
func (s *Store) discard(f *file) {
	if err := f.close(); err != nil {
		s.opt.Log.Debug("cannot close the old store file", "err", err)
	}
}

// leave closes a file that is gone. What is in its log goes into the file
// first, which may have been renamed to be kept; the log itself must not be
// taken for that of the next file.
func (s *Store) leave() {
	s.opt.Metrics.StoreDamaged("gone")
	s.opt.Log.Error("store file was removed, renamed or replaced; opening the path again", "path", s.opt.Path, "store", s.id)
	old := s.file
	s.file = nil
	moved := checkpoint(context.Background(), old.session.conn) == nil
	log := s.opt.Path + "-wal"
	info, err := os.Stat(log)
	if err == nil && old.log != nil && os.SameFile(info, old.log) {
		if moved && info.Size() == 0 {
			err = os.Remove(log)
		} else {
			err = os.Rename(log, s.opt.Path+".gone-"+s.opt.now().UTC().Format("20060102T150405Z")+"-wal")
		}
		if err != nil {
			s.opt.Log.Error("cannot remove the write-ahead log of the missing store file", "path", log, "err", err)
		}
	}
	s.discard(old)
}
