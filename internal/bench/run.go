package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
)

// options are what the command line says.
type options struct {
	messages    int // in each measurement
	connections int // of the mix
	repeat      int
	seed        uint64
	daemon      string // the binary to be measured
	against     string // another one, measured beside it; "" is none
	storeRows   int    // in the store that the status pages read
}

// row is a line of a table with what was measured for it.
type row struct {
	key, title string
	samples    []sample
	note       string // why nothing was measured
	measure    func(context.Context) (sample, error)
	off, chain *row // those under the same load; nil when there is none
}

// lineup starts what a table has and returns its rows.
type lineup func(context.Context, *stage) ([]*row, error)

// measureAll measures every row of a lineup opts.repeat times, in turns: what
// slows the machine down for a while slows all rows.
func measureAll(ctx context.Context, opts options, name string, who lineup, progress io.Writer) (rows []*row, err error) {
	fmt.Fprintf(progress, "%s: making messages and starting milters\n", name)
	s, err := openStage(opts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if rows, err = who(ctx, s); err != nil {
		return nil, err
	}
	for i := range opts.repeat {
		fmt.Fprintf(progress, "%s: repetition %d of %d, load %s\n", name, i+1, opts.repeat, machineLoad())
		if err := repetition(ctx, rows, i); err != nil {
			return nil, err
		}
	}
	for _, r := range rows {
		r.measure = nil // it holds all messages
	}
	return rows, nil
}

// repetition measures every row once. Each repetition begins with another
// row, so that none is always measured after the same neighbour's rest.
func repetition(ctx context.Context, rows []*row, number int) error {
	for i := range rows {
		r := rows[(i+number)%len(rows)]
		if r.measure == nil {
			continue
		}
		out, err := r.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", r.title, err)
		}
		r.samples = append(r.samples, out)
	}
	setRatios(rows, number)
	return nil
}

// setRatios divides figures of the rows by those that they are compared with in
// the same repetition.
func setRatios(rows []*row, number int) {
	var floors [3]float64 // NaN in a figure of a row that is not there is in the ratio, too
	for i, key := range []string{milterFloor, cryptoFloor, canonFloorKey} {
		floors[i] = find(rows, key).at(number)[cpu]
	}
	for _, r := range rows {
		if r.measure == nil || r.key == milterFloor || r.key == cryptoFloor || r.key == canonFloorKey {
			continue
		}
		s := &r.samples[number]
		s[ratio], s[ratioCanon] = s[cpu]/(floors[0]+floors[1]), s[cpu]/(floors[0]+floors[2])
		off, chain := r.off.at(number), r.chain.at(number)
		s[rateOff], s[p50Off], s[p99Off], s[cpuOff] = s[rate]/off[rate], s[p50]/off[p50], s[p99]/off[p99], s[cpu]/off[cpu]
		s[p50Chain] = s[p50] / chain[p50]
	}
}

// at returns what was measured in a repetition, if anything was.
func (r *row) at(number int) sample {
	if r == nil || number >= len(r.samples) {
		return newSample()
	}
	return r.samples[number]
}

// find returns the row of a key, or nil.
func find(rows []*row, key string) *row {
	for _, r := range rows {
		if r.key == key {
			return r
		}
	}
	return nil
}

// configuration is a row of the mix that a daemon fills.
type configuration struct {
	key, title string
	durability string
	slowDNS    bool
	cold       bool // a new daemon for each repetition, which knows no name yet
	idle       int  // connections that only exist
}

var configurations = []configuration{
	{key: "mix_off", title: "off (no store)", durability: "off"},
	{key: "mix_async", title: "async", durability: "async"},
	{key: ackKey, title: "ack", durability: "ack"},
	{key: farKey, title: "ack, DNS 20 ms away", durability: "ack", slowDNS: true},
	{key: "mix_ack_dns20_cold", title: "ack, DNS 20 ms away, cold", durability: "ack", slowDNS: true, cold: true},
	{key: "mix_ack_idle1000", title: "ack, 1,000 idle", durability: "ack", idle: 1000},
}

// Keys of rows that are looked for.
const (
	milterFloor   = "mix_floor_milter"
	cryptoFloor   = "mix_floor_crypto"
	canonFloorKey = "mix_floor_canon"
	ackKey        = "mix_ack"
	farKey        = "mix_ack_dns20"
)

// mixRows are floors and daemons under one load of lasting connections, and the
// chain with short ones: libmilter takes no second client on a connection.
func mixRows(ctx context.Context, s *stage) ([]*row, error) {
	rows, err := s.floorRows(ctx)
	if err != nil {
		return nil, err
	}
	binary := s.opts.daemon
	for _, c := range configurations {
		r, err := s.mixRow(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.title, err)
		}
		rows = append(rows, r)
	}
	if s.opts.daemon = s.opts.against; s.opts.against != "" {
		r, err := s.mixRow(ctx, configuration{key: "mix_ack_against", title: "ack, the other binary", durability: "ack"})
		if err != nil {
			return nil, fmt.Errorf("the other binary: %w", err)
		}
		r.off = find(rows, ackKey)
		rows = append(rows, r)
	}
	s.opts.daemon = binary
	chain, note, err := s.startChain(ctx)
	if err != nil {
		return nil, err
	}
	return append(rows, s.row("mix_chain", chainTitle+", short", chain, note, load{connections: s.opts.connections, short: true})), nil
}

func (s *stage) mixLoad() load { return load{connections: s.opts.connections} }

// row measures a target under a load; without one it has a note.
func (s *stage) row(key, title string, t *target, note string, l load) *row {
	r := &row{key: key, title: title, note: note}
	if t != nil {
		r.measure = func(ctx context.Context) (sample, error) { return s.measure(ctx, t, l) }
	}
	return r
}

func (s *stage) floorRows(ctx context.Context) ([]*row, error) {
	t, err := s.floor(ctx)
	if err != nil {
		return nil, err
	}
	thread := func(f func(*mail) error) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			out := newSample()
			used, err := s.corpus.threadCPU(ctx, s.opts.messages, f)
			out[cpu] = milliseconds(used) / float64(s.opts.messages)
			return out, err
		}
	}
	return []*row{
		s.row(milterFloor, "milter floor", t, "", s.mixLoad()),
		{key: cryptoFloor, title: "crypto floor", measure: thread(s.corpus.floor.verify)},
		{key: canonFloorKey, title: "floor with canonicalization", measure: thread(s.corpus.canon.check)},
	}, nil
}

// warmFar is how many connections warm a daemon whose name server is far away:
// many, so that it is soon asked all.
const warmFar = 50

// mixRow starts the daemon of a configuration.
func (s *stage) mixRow(ctx context.Context, c configuration) (*row, error) {
	dns, warmers := s.near, s.mixLoad()
	if c.slowDNS {
		dns, warmers = s.far, load{connections: warmFar}
	}
	r := &row{key: c.key, title: c.title}
	if c.cold {
		r.measure = func(ctx context.Context) (sample, error) {
			t, stop, err := s.dmarcgate(ctx, c.durability, dns)
			if err != nil {
				return sample{}, err
			}
			out, err := s.measure(ctx, t, s.mixLoad())
			return out, errors.Join(err, stop())
		}
		return r, nil
	}
	t, stop, err := s.dmarcgate(ctx, c.durability, dns)
	if err != nil {
		return nil, err
	}
	s.opened = append(s.opened, stop)
	idle := worker{player: player{}}
	for range c.idle {
		idle.addresses = append(idle.addresses, t.processes[0].address)
	}
	if err := idle.dial(); err != nil {
		return nil, err
	}
	s.opened = append(s.opened, func() error { idle.hangUp(); return nil })
	r.measure = func(ctx context.Context) (sample, error) { return s.measure(ctx, t, s.mixLoad()) }
	return r, s.warm(ctx, t, warmers)
}

// The grid: every durability and the chain, at several numbers of SMTP sessions
// at once, over lasting milter connections and over those of one session.
var (
	gridConnections = []int{1, 10, 50}
	durabilities    = []string{"off", "async", "ack", "disk"}
)

func gridKey(who string, l load) string {
	if l.short {
		who += "_short"
	}
	return fmt.Sprintf("c%d_%s", l.connections, who)
}

// gridRows start one daemon for each durability. Those that are compared stand
// beside each other, the daemon without a store first.
func gridRows(ctx context.Context, s *stage) ([]*row, error) {
	targets := make(map[string]*target)
	for _, d := range durabilities {
		t, stop, err := s.dmarcgate(ctx, d, s.near)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		s.opened = append(s.opened, stop)
		targets[d] = t
		if err := s.warm(ctx, t, s.mixLoad()); err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
	}
	chain, note, err := s.startChain(ctx)
	if err != nil {
		return nil, err
	}
	var rows []*row
	for _, short := range []bool{true, false} {
		for _, n := range gridConnections {
			l := load{connections: n, short: short}
			var off, last *row
			if short { // libmilter takes no second client on a connection
				last = s.row(gridKey("chain", l), fmt.Sprintf("%s, %s", l, chainTitle), chain, note, l)
			}
			for _, d := range durabilities {
				r := s.row(gridKey(d, l), fmt.Sprintf("%s, %s", l, d), targets[d], "", l)
				off = cmp.Or(off, r)
				r.off, r.chain = off, last
				rows = append(rows, r)
			}
			if last != nil {
				last.off = off
				rows = append(rows, last)
			}
		}
	}
	return rows, nil
}
