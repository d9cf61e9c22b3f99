package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"dmarcgate/results/dbfile"
)

// checkFiles looks for damage in each file that comes into use, beside the mail:
// Open does not wait, however large the file is. A damaged file is set aside as
// one whose damage a commit finds. It ends with ctx.
func (s *Store) checkFiles(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-s.unchecked:
			s.checkFile(ctx, f)
			if s.opt.checked != nil {
				s.opt.checked <- struct{}{}
			}
		}
	}
}

func (s *Store) checkFile(ctx context.Context, f *file) {
	check := dbfile.Check
	if s.opt.check != nil {
		check = s.opt.check
	}
	err := f.checking.do(ctx, func(ctx context.Context) error { return check(ctx, f.reads, f.identity.Size()) })
	switch {
	case err == nil || errors.Is(err, errNoCheck):
	case dbfile.IsDamage(err):
		// The writer does with the error what it does with one of its own.
		_ = s.on(ctx, f, func(*sql.Conn) error { return err })
	case f == s.current.Load():
		s.opt.Log.Error("cannot check store file; damage is found when a row is written", "path", s.opt.Path, "err", err)
	}
}

// toCheck has the next file checked. One that still waits is used no longer.
func (s *Store) toCheck(f *file) {
	f.checking = newChecking()
	select {
	case <-s.unchecked:
	default:
	}
	s.unchecked <- f
}

// errNoCheck is a check that was not made, or not to its end.
var errNoCheck = errors.New("the check was ended")

// checking is the check of one file. A file is not left before its check has
// ended: SQLite would take the files that a new one has beside it for those of the
// old one.
type checking struct {
	ctx    context.Context // ends with stop
	cancel context.CancelFunc
	busy   chan struct{} // has an element while the check reads the file, and after stop
}

func newChecking() *checking {
	c := &checking{busy: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// do makes the check, unless it was stopped.
func (c *checking) do(outer context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	defer context.AfterFunc(outer, cancel)()
	select {
	case c.busy <- struct{}{}:
	default:
		return errNoCheck
	}
	defer func() { <-c.busy }()
	err := check(ctx)
	if ctx.Err() != nil {
		return errNoCheck
	}
	return err
}

// stop ends the check, and waits until it reads the file no longer.
func (c *checking) stop() {
	if c == nil {
		return
	}
	c.cancel()
	c.busy <- struct{}{}
}
