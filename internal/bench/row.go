package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

// configuration is a row of the table that a daemon fills.
type configuration struct {
	key, title  string
	durability  string
	slowDNS     bool
	cold        bool // a new daemon for each repetition, which knows no name yet
	idle        int  // connections that only exist
	connections int  // those that send; 0 is what the command line says
}

var configurations = []configuration{
	{key: "off", title: "off (no store)", durability: "off"},
	{key: "async", title: "async", durability: "async"},
	{key: nearKey, title: "ack", durability: "ack"},
	{key: farKey, title: "ack, DNS 20 ms away", durability: "ack", slowDNS: true},
	{key: "ack_dns20_cold", title: "ack, DNS 20 ms away, cold", durability: "ack", slowDNS: true, cold: true},
	{key: "ack_idle1000", title: "ack, 1,000 idle", durability: "ack", idle: 1000},
}

// The rows that tell what DNS that is far away costs: they have nothing else
// that differs.
const (
	nearKey = "ack"
	farKey  = "ack_dns20"
)

// lineup is which rows are measured.
type lineup struct {
	floors bool
	rows   []configuration
}

var (
	everyRow   = lineup{floors: true, rows: configurations}
	rowsForDNS = lineup{rows: slices.DeleteFunc(slices.Clone(configurations), func(c configuration) bool { return c.key != nearKey && c.key != farKey })}
)

// slowDNS is how far away the slow name server is.
const slowDNS = 20 * time.Millisecond

const (
	milterFloor = "floor_milter"
	cryptoFloor = "floor_crypto"
)

// row is a line of the table with what was measured for it.
type row struct {
	key, title string
	samples    []sample
	note       string // why nothing was measured
	measure    func(context.Context) (sample, error)
}

// stage holds everything that is running.
type stage struct {
	opts   options
	lineup lineup
	corpus *corpus
	dir    string
	near   *dnstest.Server
	far    *dnstest.Server // answers after slowDNS
	rows   []*row
	opened []func() error // what to close, last first
}

// open makes the corpus and starts the name servers and the milter floor.
func (s *stage) open(ctx context.Context) (err error) {
	if s.corpus, err = makeCorpus(s.opts.seed, min(s.opts.messages, maxCorpus)); err != nil {
		return err
	}
	if s.near, err = s.serve(s.corpus.zone); err != nil {
		return err
	}
	if s.far, err = s.serve(s.corpus.zone + fmt.Sprintf("!delay %v\n", slowDNS)); err != nil {
		return err
	}
	if s.lineup.floors {
		if err := s.addFloors(ctx); err != nil {
			return err
		}
	}
	for _, c := range s.lineup.rows {
		if err := s.add(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
	}
	return nil
}

// close ends what was started.
func (s *stage) close() error {
	var err error
	for i := len(s.opened) - 1; i >= 0; i-- {
		err = errors.Join(err, s.opened[i]())
	}
	return err
}

func (s *stage) serve(zone string) (*dnstest.Server, error) {
	z, err := dnstest.Parse(zone)
	if err != nil {
		return nil, err
	}
	srv, err := dnstest.Serve(z)
	if err == nil {
		s.opened = append(s.opened, func() error { srv.Close(); return nil })
	}
	return srv, err
}

func (s *stage) addFloors(ctx context.Context) error {
	dir, err := s.makeDir(milterFloor)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	address := "unix:" + filepath.Join(dir, "s")
	ready := func() error {
		c, err := miltertest.Dial(address, miltertest.Options{})
		if err == nil {
			err = c.Quit()
		}
		return err
	}
	p, err := startProcess(ctx, dir, ready, self, floorCommand, filepath.Join(dir, "s"))
	if err != nil {
		return err
	}
	s.opened = append(s.opened, p.stop)
	p.address = address
	s.rows = append(s.rows,
		&row{key: milterFloor, title: "milter floor", measure: func(ctx context.Context) (sample, error) { return s.playOn(ctx, p, s.opts.connections, false) }},
		&row{key: cryptoFloor, title: "crypto floor", measure: s.crypto})
	return nil
}

func (s *stage) makeDir(name string) (string, error) {
	dir := filepath.Join(s.dir, name)
	return dir, os.Mkdir(dir, 0o700)
}

func (s *stage) crypto(ctx context.Context) (sample, error) {
	out := newSample()
	used, err := s.corpus.measureCrypto(ctx, s.opts.messages)
	out[cpu] = milliseconds(used) / float64(s.opts.messages)
	return out, err
}

// add starts the daemon of a configuration, or notes that it does not know it.
func (s *stage) add(ctx context.Context, c configuration) error {
	r := &row{key: c.key, title: c.title}
	s.rows = append(s.rows, r)
	if c.cold {
		r.measure = func(ctx context.Context) (sample, error) { return s.measureCold(ctx, c) }
		return nil
	}
	d, err := s.start(ctx, c)
	var refused *refusedError
	if errors.As(err, &refused) {
		r.note = refused.Error()
		return nil
	}
	if err != nil {
		return err
	}
	s.opened = append(s.opened, d.stop)
	idle, err := dial(d.address, c.idle)
	if err != nil {
		return err
	}
	s.opened = append(s.opened, func() error { hangUp(idle); return nil })
	r.measure = func(ctx context.Context) (sample, error) { return s.measure(ctx, c, d) }
	return s.warm(ctx, d)
}

func (s *stage) start(ctx context.Context, c configuration) (*daemon, error) {
	dir, err := os.MkdirTemp(s.dir, c.key)
	if err != nil {
		return nil, err
	}
	return startDaemon(ctx, s.opts.daemon, dir, daemonConfig{durability: c.durability, dns: s.dns(c).Addr()})
}

func (s *stage) dns(c configuration) *dnstest.Server {
	if c.slowDNS {
		return s.far
	}
	return s.near
}

// warmConnections is many, so that a slow name server is soon asked all.
const warmConnections = 50

func (s *stage) warm(ctx context.Context, d *daemon) error {
	mails := s.corpus.primers()
	_, err := player{d.address, warmConnections, true}.play(ctx, mails, len(mails))
	return err
}

// measureCold measures a daemon that has just been started.
func (s *stage) measureCold(ctx context.Context, c configuration) (sample, error) {
	d, err := s.start(ctx, c)
	if err != nil {
		return sample{}, err
	}
	out, err := s.measure(ctx, c, d)
	return out, errors.Join(err, d.stop())
}

// measure plays the mix on a daemon.
func (s *stage) measure(ctx context.Context, c configuration, d *daemon) (sample, error) {
	var before [2]allocations // the second has what reading the metrics costs
	var err error
	for i := range before {
		if before[i], err = d.allocations(); err != nil {
			return sample{}, err
		}
	}
	asked := s.dns(c).Zone.Asked()
	out, err := s.playOn(ctx, d.process, cmp.Or(c.connections, s.opts.connections), true)
	if err != nil {
		return sample{}, err
	}
	n := float64(s.opts.messages)
	out[queries] = float64(s.dns(c).Zone.Asked()-asked) / n
	after, err := d.allocations()
	made := after.minus(before[1]).minus(before[1].minus(before[0]))
	out[objects], out[volume] = made.objects/n, made.bytes/n
	return out, err
}

// playOn plays the mix on a process and reads its CPU clock before and after.
func (s *stage) playOn(ctx context.Context, p *process, connections int, checked bool) (sample, error) {
	out := newSample()
	begin, err := p.cpu()
	if err != nil {
		return out, err
	}
	result, err := player{p.address, connections, checked}.play(ctx, s.corpus.mails, s.opts.messages)
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if err != nil {
		return out, fmt.Errorf("%w\n%s", err, p.lastLines())
	}
	end, err := p.cpu()
	if err != nil {
		return out, err
	}
	out.putPlayed(result, s.opts.messages)
	out[cpu] = milliseconds(end-begin) / float64(s.opts.messages)
	out[peak], err = p.peak()
	return out, err
}
