package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dmarcgate/results"
	"dmarcgate/results/sqlite"
)

const (
	offDurability = "off"
	ackDurability = "ack"
)

// durabilities are those of the store; the first is what the others are
// compared with.
var durabilities = []string{offDurability, "async", ackDurability, "disk"}

// cell is a durability at a number of connections.
type cell struct {
	row
	durability  string
	connections int
	off         *cell // what it is compared with; nil for that itself
}

// makeCells returns all cells: the durabilities of one number of connections
// stand beside each other.
func makeCells(connections []int) []*cell {
	var out []*cell
	for _, n := range connections {
		var off *cell
		for _, d := range durabilities {
			c := &cell{row: row{key: fmt.Sprintf("store_%s_%d", d, n), title: fmt.Sprintf("%s, %d connections", d, n)}, durability: d, connections: n, off: off}
			if off == nil {
				off = c
			}
			out = append(out, c)
		}
	}
	return out
}

// play measures the cells, and returns rows of the mix.
func (p *storePart) play(ctx context.Context, opts storeOptions, progress io.Writer) (rows []results.Row, err error) {
	dir, err := os.MkdirTemp("", "dmarcgate-bench")
	if err != nil {
		return nil, err
	}
	s := &stage{opts: opts.options, dir: dir}
	defer func() { err = errors.Join(err, s.close(), os.RemoveAll(dir)) }()
	fmt.Fprintln(progress, "store: making messages and starting daemons")
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	p.cells = makeCells(opts.connections)
	daemons := make(map[string]*daemon)
	for _, name := range durabilities {
		if daemons[name], err = s.startWarm(ctx, configuration{key: name, durability: name}); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := p.repeat(ctx, s, daemons, progress); err != nil {
		return nil, err
	}
	return p.leave(ctx, daemons[ackDurability])
}

// startWarm starts a daemon whose caches know all names.
func (s *stage) startWarm(ctx context.Context, c configuration) (*daemon, error) {
	d, err := s.start(ctx, c)
	if err != nil {
		return nil, err
	}
	s.opened = append(s.opened, d.stop)
	return d, s.warm(ctx, d)
}

// repeat measures every cell in each repetition: those that are compared in a
// row, and each time another one first.
func (p *storePart) repeat(ctx context.Context, s *stage, daemons map[string]*daemon, progress io.Writer) error {
	for number := range s.opts.repeat {
		fmt.Fprintf(progress, "store: repetition %d of %d, load %s\n", number+1, s.opts.repeat, load())
		for i := range p.cells {
			set, k := i/len(durabilities), (i+number)%len(durabilities)
			c := p.cells[set*len(durabilities)+k]
			out, err := s.measure(ctx, configuration{connections: c.connections}, daemons[c.durability])
			if err != nil {
				return fmt.Errorf("%s: %w", c.title, err)
			}
			c.samples = append(c.samples, out)
		}
		setAdded(p.cells, number)
	}
	return nil
}

// setAdded enters what the store has added in a repetition.
func setAdded(cells []*cell, number int) {
	for _, c := range cells {
		if c.off == nil {
			continue
		}
		s, off := &c.samples[number], &c.off.samples[number]
		s[addedCPU] = s[cpu] - off[cpu]
		s[addedShare] = s[addedCPU] / off[cpu]
		s[addedP50] = s[p50] - off[p50]
		s[addedObjects] = s[objects] - off[objects]
	}
}

// leave stops the daemon, measures its file and reads rows from it.
func (p *storePart) leave(ctx context.Context, d *daemon) ([]results.Row, error) {
	if err := d.stop(); err != nil {
		return nil, err
	}
	path := filepath.Join(d.dir, storeFile)
	r, err := sqlite.OpenReader(ctx, path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if p.size, err = sizeOf(ctx, path); err != nil {
		return nil, err
	}
	return r.Recent(ctx, aloneDistinct)
}
