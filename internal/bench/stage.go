package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

// stage holds everything that is running.
type stage struct {
	opts   options
	corpus *corpus
	dir    string
	near   *dnstest.Server
	far    *dnstest.Server // answers after slowDNS
	opened []func() error  // what to close, last first
}

// slowDNS is how far away the slow name server is.
const slowDNS = 20 * time.Millisecond

// maxCorpus bounds the memory for messages: 46 KB each, on average.
const maxCorpus = 3000

// openStage makes the corpus and starts the name servers.
func openStage(opts options) (*stage, error) {
	s := &stage{opts: opts}
	var err error
	if s.dir, err = os.MkdirTemp("", "dmarcgate-bench"); err != nil {
		return nil, err
	}
	s.opened = append(s.opened, func() error { return os.RemoveAll(s.dir) })
	if s.corpus, err = makeCorpus(opts.seed, min(opts.messages, maxCorpus)); err == nil {
		s.near, err = s.serve(s.corpus.zone, loopback)
	}
	if err == nil {
		s.far, err = s.serve(s.corpus.zone+fmt.Sprintf("!delay %v\n", slowDNS), loopback)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// close ends what was started.
func (s *stage) close() error {
	var err error
	for i := len(s.opened) - 1; i >= 0; i-- {
		err = errors.Join(err, s.opened[i]())
	}
	return err
}

const loopback = "127.0.0.1:0"

func (s *stage) serve(zone, address string) (*dnstest.Server, error) {
	z, err := dnstest.Parse(zone)
	if err != nil {
		return nil, err
	}
	srv, err := dnstest.ServeAt(z, address)
	if err == nil {
		s.opened = append(s.opened, func() error { srv.Close(); return nil })
	}
	return srv, err
}

func (s *stage) makeDir(name string) (string, error) { return os.MkdirTemp(s.dir, name) }

// target is who gets the mail.
type target struct {
	processes []*process // milters, in their order
	daemon    *daemon    // the process, when it is a dmarcgate
	dns       *dnstest.Server
	unchecked bool // it does not know what is right
}

// floor starts the milter floor: this program again.
func (s *stage) floor(ctx context.Context) (*target, error) {
	dir, err := s.makeDir("floor")
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "s")
	p, err := s.start(ctx, dir, socket, self, floorCommand, socket)
	return &target{processes: []*process{p}, dns: s.near, unchecked: true}, err
}

// start starts a milter that listens at a socket, and waits until it answers.
func (s *stage) start(ctx context.Context, dir, socket, program string, args ...string) (*process, error) {
	address := "unix:" + socket
	ready := func() error {
		c, err := miltertest.Dial(address, miltertest.Options{})
		if err == nil {
			err = c.Quit()
		}
		return err
	}
	p, err := startProcess(ctx, dir, ready, program, args...)
	if err != nil {
		return nil, err
	}
	s.opened = append(s.opened, p.stop)
	p.address = address
	return p, nil
}

// dmarcgate starts a daemon. stop ends it before the stage is closed.
func (s *stage) dmarcgate(ctx context.Context, durability string, dns *dnstest.Server) (t *target, stop func() error, err error) {
	dir, err := s.makeDir(durability)
	if err != nil {
		return nil, nil, err
	}
	d, err := startDaemon(ctx, s.opts.daemon, dir, daemonConfig{durability: durability, dns: dns.Addr()})
	if err != nil {
		return nil, nil, err
	}
	return &target{processes: []*process{d.process}, daemon: d, dns: dns}, d.stop, nil
}

// warm takes a message of every domain, key and fate through a target.
func (s *stage) warm(ctx context.Context, t *target, l load) error {
	_, err := t.player(l).play(ctx, s.corpus.primers())
	return err
}

// load is how the mix is played.
type load struct {
	connections int
	short       bool          // milter connections last for one SMTP session
	every       time.Duration // between the begins of sessions; 0 is as soon as a connection is free
}

func (l load) String() string {
	if l.short {
		return fmt.Sprintf("c%d short", l.connections)
	}
	return fmt.Sprintf("c%d lasting", l.connections)
}

func (t *target) player(l load) player {
	p := player{connections: l.connections, short: l.short, every: l.every, checked: !t.unchecked}
	for _, each := range t.processes {
		p.addresses = append(p.addresses, each.address)
	}
	return p
}

// cpu returns the CPU time that the processes of a target have used.
func (t *target) cpu() (sum time.Duration, err error) {
	for _, p := range t.processes {
		used, failed := p.cpu()
		sum, err = sum+used, errors.Join(err, failed)
	}
	return sum, err
}

// peak returns the most memory of the processes since forgetPeak.
func (t *target) peak() (sum float64, err error) {
	for _, p := range t.processes {
		used, failed := p.peak()
		sum, err = sum+used, errors.Join(err, failed)
	}
	return sum, err
}

func (t *target) forgetPeak() (err error) {
	for _, p := range t.processes {
		err = errors.Join(err, p.forgetPeak())
	}
	return err
}

// measure plays the mix on a target.
func (s *stage) measure(ctx context.Context, t *target, l load) (sample, error) {
	out, n := newSample(), float64(s.opts.messages)
	var before [2]allocations // the second has what reading the metrics costs
	for i := range before {
		if t.daemon == nil {
			break
		}
		var err error
		if before[i], err = t.daemon.allocations(); err != nil {
			return out, err
		}
	}
	asked := t.dns.Zone.Queried()
	if err := s.play(ctx, t, l, &out); err != nil {
		return out, err
	}
	out[queries] = float64(t.dns.Zone.Queried()-asked) / n
	if t.daemon == nil {
		return out, nil
	}
	after, err := t.daemon.allocations()
	made := after.minus(before[1]).minus(before[1].minus(before[0]))
	out[objects], out[volume] = made.objects/n, made.bytes/n
	return out, err
}

// play enters what the client, the CPU clocks and the memory say.
func (s *stage) play(ctx context.Context, t *target, l load, out *sample) error {
	sessions := s.corpus.play(s.opts.messages)
	if err := t.forgetPeak(); err != nil {
		return err
	}
	begin, err := t.cpu()
	if err != nil {
		return err
	}
	result, err := t.player(l).play(ctx, sessions)
	if err != nil && ctx.Err() == nil {
		for _, p := range t.processes {
			err = fmt.Errorf("%w\n%s", err, p.lastLines())
		}
	}
	if err != nil {
		return err
	}
	end, err := t.cpu()
	if err != nil {
		return err
	}
	out.putPlayed(result)
	out[cpu] = milliseconds(end-begin) / float64(s.opts.messages)
	out[peak], err = t.peak()
	return err
}
