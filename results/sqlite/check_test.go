package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"dmarcgate/results"
	"dmarcgate/results/dbfile"
)

// held is a check that waits to be let go, and then says what it is told to.
func held(opt *Options) (begun chan struct{}, say chan error) {
	begun, say, opt.checked = make(chan struct{}, 9), make(chan error), make(chan struct{}, 9)
	opt.check = func(ctx context.Context, _ *sql.DB, _ int64) error {
		begun <- struct{}{}
		select {
		case err := <-say:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return begun, say
}

func TestOpenDoesNotWaitForTheCheckOfTheFile(t *testing.T) {
	opt := options(t)
	fill(t, opt, row("before"))
	begun, say := held(&opt)
	s := open(t, opt) // the check has begun or will, and does not end
	if got := s.Add(row("beside")).Outcome; got != results.Written {
		t.Fatalf("Add() beside the check = %v; want %v", got, results.Written)
	}
	<-begun
	say <- fmt.Errorf("%w: a page is twice in the tree", dbfile.ErrMalformed)
	<-opt.checked
	if got := s.Add(row("after")).Outcome; got != results.Written {
		t.Errorf("Add() after the check = %v; want %v", got, results.Written)
	}
	st, err := s.Status(t.Context())
	if err != nil || st.SetAside == "" || st.Rows != 1 {
		t.Errorf("Status() = %+v, %v; want that the file is set aside, and the new one with one row", st, err)
	}
	<-begun // of the new file
	say <- nil
	<-opt.checked
	if st, err := s.Status(t.Context()); err != nil || st.Rows != 1 {
		t.Errorf("Status() = %+v, %v; want the new file still", st, err)
	}
}

func TestCheckThatFailsIsNoDamage(t *testing.T) {
	opt := options(t)
	begun, say := held(&opt)
	s := open(t, opt)
	<-begun
	say <- errors.New("disk I/O error")
	<-opt.checked
	if st, err := s.Status(t.Context()); err != nil || st.SetAside != "" {
		t.Errorf("Status() = %+v, %v; want the file as it is", st, err)
	}
}

func TestCloseEndsTheCheck(t *testing.T) {
	opt := options(t)
	begun, _ := held(&opt)
	s := open(t, opt)
	<-begun
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v; want nil, at once", err)
	}
}
