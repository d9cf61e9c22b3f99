package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dmarcgate/results/pg"
	"dmarcgate/results/sqlite"
)

// lastShipment is how long a stop may go on moving rows. What is left waits in
// the store for the next start.
const lastShipment = 5 * time.Second

// shipping moves the rows of the store to PostgreSQL while the daemon runs. A
// nil one does nothing.
type shipping struct {
	spool *sqlite.Spool

	mu      sync.Mutex // guards what stands below
	opt     pg.Options
	shipper *pg.Shipper // never nil
}

// startShipping begins to ship. Errors are of the settings and of the store.
func startShipping(ctx context.Context, store *sqlite.Store, opt pg.Options) (*shipping, error) {
	spool, err := store.Spool(ctx)
	if err != nil {
		return nil, err
	}
	s := &shipping{spool: spool, opt: opt}
	if s.shipper, err = pg.Start(spool, opt); err != nil {
		return nil, errors.Join(fmt.Errorf("store.postgres: %w", err), spool.Close())
	}
	return s, nil
}

// use goes on with other settings, which have been checked. Those without a
// URL wait for a restart.
func (s *shipping) use(conf pg.Config) {
	if s == nil || conf.URL == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if conf == s.opt.Config {
		return
	}
	opt := s.opt
	opt.Config = conf
	s.end()
	next, err := pg.Start(s.spool, opt)
	if err != nil { // it has been checked: the old settings are good, too
		s.opt.Log.Error("cannot apply new PostgreSQL settings; shipping with previous settings", "err", err)
		if next, err = pg.Start(s.spool, s.opt); err != nil {
			return
		}
		opt = s.opt
	}
	s.opt, s.shipper = opt, next
}

// end ships what waits and ends the shipper. The caller holds mu.
func (s *shipping) end() {
	ctx, cancel := context.WithTimeout(context.Background(), lastShipment)
	defer cancel()
	s.shipper.Stop(ctx)
}

// stop ends it for good, before the store is closed.
func (s *shipping) stop() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
	if err := s.spool.Close(); err != nil {
		s.opt.Log.Error("cannot close the spool of the store", "err", err)
	}
}

func (s *shipping) status() pg.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shipper.Status()
}

// errNoPostgres is the answer of a daemon that ships nothing.
var errNoPostgres = errors.New("this daemon moves no results to PostgreSQL: [store.postgres] has no url")

func (s *shipping) adopt() error {
	if s == nil {
		return errNoPostgres
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shipper.Adopt()
}
