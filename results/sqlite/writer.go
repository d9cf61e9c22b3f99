package sqlite

import (
	"fmt"
	"time"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// maxGroup is how many rows one transaction takes at most: beyond some
// hundred the cost per row no longer falls, and a reader waits longer.
const maxGroup = 512

// op is one piece of work for the writer: a new row, or a new state for an
// earlier one.
type op struct {
	row   results.Row
	qid   string // as the log has it
	after *op    // when set, the row whose state is changed
	state results.State
	done  chan struct{} // closed after the commit, or the failure
	err   error         // set before done is closed
	seq   int64
	file  *file // that seq is of
}

// Add hands a row to the writer and waits as the durability says, never
// longer than Options.Wait.
func (s *Store) Add(row results.Row) *results.Receipt {
	o := &op{row: row, qid: row.Facts.QueueID, done: make(chan struct{})}
	s.opt.Privacy.Conceal(&o.row, s.opt.now)
	blob.Trim(&o.row)
	begin := time.Now()
	if !s.enqueue(o, s.opt.Wait) {
		s.drop("queue_full")
		return &results.Receipt{Outcome: results.Dropped}
	}
	r := &results.Receipt{Outcome: results.Late, Token: o}
	if s.opt.Durability == Async {
		return r
	}
	timer := time.NewTimer(s.opt.Wait - time.Since(begin))
	defer timer.Stop()
	select {
	case <-o.done:
		if o.err != nil {
			r.Outcome = results.Dropped
		} else {
			r.Outcome = results.Written
		}
	case <-timer.C:
		s.opt.Metrics.RecordLate()
	}
	return r
}

// enqueue waits for room in the queue, so long at most.
func (s *Store) enqueue(o *op, wait time.Duration) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return false
	}
	select {
	case s.queue <- o:
		s.pause.added(len(s.queue))
		return true
	default:
	}
	if wait <= 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case s.queue <- o:
		return true
	case <-timer.C:
		return false
	}
}

// MarkUnanswered notes that the answer to this row's message never reached
// the MTA. It does not wait.
func (s *Store) MarkUnanswered(r *results.Receipt) {
	if r == nil || r.Token == nil {
		return
	}
	after := r.Token.(*op)
	if !s.enqueue(&op{after: after, state: results.Unanswered, done: make(chan struct{})}, 0) {
		s.opt.Log.Error("cannot mark row as unanswered: store queue full", "qid", after.qid)
	}
}

// write is the writer: it ends when the queue is closed and empty.
func (s *Store) write() {
	defer close(s.done)
	s.serve(s.commit)
}

// serve commits groups of rows, and does jobs in between.
func (s *Store) serve(commit func(group []*op)) {
	for {
		select {
		case o, open := <-s.queue:
			if !open {
				return
			}
			begin := time.Now()
			group := s.gather(o)
			s.opt.Metrics.StoreQueue(len(s.queue))
			commit(group)
			s.pause.rest(s.queue, begin, len(group), s.closing)
		case j := <-s.jobs:
			j.done <- s.run(j)
		}
	}
}

// gather adds what is queued already.
func (s *Store) gather(first *op) []*op {
	group := append(s.group[:0], first)
	for len(group) < maxGroup {
		select {
		case next, open := <-s.queue:
			if open {
				group = append(group, next)
				continue
			}
		default:
		}
		break
	}
	s.group = group
	return group
}

// commit writes a group, and tells those who wait for it. When the file turns
// out to be damaged or gone, the group goes into a new one.
func (s *Store) commit(group []*op) {
	start := time.Now()
	err := s.attempt(group)
	if s.replaced(err) {
		err = s.attempt(group)
	}
	if err != nil {
		s.met = met{}
		s.complain(err)
	} else {
		s.relax()
		s.opt.Metrics.StoreCommit(time.Since(start), time.Now())
	}
	for _, o := range group {
		if err != nil {
			o.err, o.seq = err, 0 // another row will have the number
		}
		s.count(o)
		s.remember(o)
	}
	s.note(err, group)
	for _, o := range group {
		close(o.done)
	}
}

// note keeps the last failure for Check.
func (s *Store) note(err error, group []*op) {
	for _, o := range group {
		if err == nil && o.after == nil {
			err = o.err
		}
	}
	if err != nil {
		s.failed.Store(&err)
	} else {
		s.failed.Store(nil)
	}
}

func (s *Store) count(o *op) {
	switch {
	case o.after != nil:
	case o.err == nil:
		s.opt.Metrics.Recorded()
	default:
		s.drop(cause(o.err))
	}
}

// attempt makes one transaction of a group. It looks before and afterwards
// whether the file is the one that the path names: a file that was removed
// takes rows, too.
func (s *Store) attempt(group []*op) error {
	if err := s.ensure(); err != nil {
		return err
	}
	if s.gone(s.opt.Path) {
		return errGone
	}
	room := s.roomy()
	s.rows = s.rows[:0]
	marks := 0
	for _, o := range group {
		o.err, o.seq, o.file = nil, 0, s.file
		switch {
		case o.after != nil:
			marks++
		case room:
			s.rows = append(s.rows, o)
		default:
			o.err = errNoSpace
		}
	}
	if len(s.rows)+marks == 0 {
		return nil
	}
	if err := s.session.transaction(func() error { return s.apply(group) }); err != nil {
		return err
	}
	if s.gone(s.opt.Path) {
		return errGone
	}
	return nil
}

// apply writes s.rows and the marks of a group within its transaction: first
// the rows, since a mark is always for an earlier one.
func (s *Store) apply(group []*op) error {
	if err := s.session.insertRows(s.rows); err != nil {
		return err
	}
	if err := s.session.meetSenders(&s.met, s.rows); err != nil {
		return fmt.Errorf("noting senders: %w", err)
	}
	if err := s.session.noteRules(s.rows); err != nil {
		return fmt.Errorf("noting rules: %w", err)
	}
	for _, o := range group {
		if err := s.markRow(o); err != nil {
			return fmt.Errorf("marking row %d: %w", o.after.seq, err)
		}
	}
	return nil
}

func (s *Store) markRow(o *op) error {
	if o.after == nil || o.after.seq == 0 || o.after.file != s.file {
		return nil // its row was never written, or is in a file that is gone
	}
	seq, state := o.after.seq, int64(o.state)
	if err := s.session.exec(s.session.mark, state, seq); err != nil {
		return err
	}
	return s.session.exec(s.session.restate, seq, state)
}
