package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
)

// output makes reports of sorted keys.
type output struct {
	*work
	ctx     context.Context
	ordered *sorter // records of the present group, by falling count
	give    func(*Report) error

	group   []byte // of the present report; empty before the first
	defects []string
	report  Report
	key     []byte
}

func (o *output) run() error {
	err := o.groups.each(func(key []byte, n int64) error {
		size, err := cutGroup(key)
		if err != nil {
			return err
		}
		if !bytes.Equal(key[:size], o.group) {
			if err := o.finish(); err != nil {
				return err
			}
			o.group = append(o.group[:0], key[:size]...)
		}
		return o.see(key[size], key[size+1:], n)
	})
	if err != nil {
		return err
	}
	return o.finish()
}

// see takes a note or a record of the present group.
func (o *output) see(tag byte, rest []byte, n int64) error {
	if tag == tagRecord {
		o.report.Rows++
		o.report.Messages += n
		if keyPassed(rest) {
			o.report.Passed += n
		}
		// Falling counts: the largest has the least number.
		o.key = append(binary.BigEndian.AppendUint64(o.key[:0], math.MaxUint64-uint64(n)), rest...)
		return o.ordered.addNew(o.key, n)
	}
	if len(rest) == 0 {
		return errDamagedKey
	}
	switch rest[0] {
	case noteOptional:
		o.report.Optional += n
	case notePassed:
		o.report.Passed -= n // of what records say
	case noteOrg:
		o.report.Org = cmp.Or(o.report.Org, string(rest[1:]))
	case noteDefect:
		o.defects = append(o.defects, string(rest[1:]))
	}
	return nil
}

// finish hands over the present report, and forgets it.
func (o *output) finish() error {
	if len(o.group) == 0 || o.report.Rows == 0 {
		return nil
	}
	if err := o.ctx.Err(); err != nil {
		return err
	}
	g := readGroup(o.group)
	r := &o.report
	r.Identity, r.Generator = o.Identity, o.Generator
	r.PolicyDomain, r.Period, r.Published = g.domain, o.periods[g.period], unpack(g.packed[:])
	r.Org = cmp.Or(r.Org, g.domain)
	r.PolicyHash, r.Errors = r.Published.hash(), Defects(o.defects)
	r.Records = o.records
	if err := o.give(r); err != nil {
		return err
	}
	o.group, o.defects, o.report = o.group[:0], o.defects[:0], Report{}
	return o.ordered.reset()
}

// errStop ends a loop over records that the reader has left.
var errStop = errors.New("report: stop")

// records is Report.Records.
func (o *output) records(yield func(*Record, error) bool) {
	var r Record
	err := o.ordered.each(func(key []byte, n int64) error {
		if err := readRecord(key[8:], &r); err != nil {
			return err
		}
		r.Count = n
		if !yield(&r, nil) {
			return errStop
		}
		return nil
	})
	if err != nil && err != errStop {
		yield(nil, err)
	}
}
