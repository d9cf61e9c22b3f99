package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"

	"dmarcgate/results"
)

// feed is MTAs that send without end, and demand the right answer to each
// message, whatever becomes of the store.
type feed struct {
	h       *host
	name    string // begins its queue ids
	n       int    // sessions
	most    int64  // messages; 0 is no limit
	sent    atomic.Int64
	stopped atomic.Bool
	wg      sync.WaitGroup
}

// startFeed begins n sessions.
func startFeed(h *host, name string, n int, most int64) *feed {
	f := &feed{h: h, name: name, n: n, most: most}
	h.t.Cleanup(func() { f.stop() })
	for range n {
		f.wg.Go(func() {
			if err := f.session(); err != nil {
				h.t.Error(err)
			}
		})
	}
	return f
}

func (f *feed) session() error {
	c, err := f.h.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	for !f.stopped.Load() {
		k := f.sent.Add(1)
		if f.most > 0 && k > f.most {
			f.sent.Add(-1)
			break
		}
		if err := sendDomain(c, []string{"good.example", "bad.example"}[k%2], f.id(k)); err != nil {
			return err
		}
	}
	return c.Quit()
}

// id is the queue id of the message k, from 1 up.
func (f *feed) id(k int64) string { return fmt.Sprintf("4X%s%d", f.name, k) }

// wait lets all be sent, and returns how many that were.
func (f *feed) wait() int64 {
	f.wg.Wait()
	return f.sent.Load()
}

func (f *feed) stop() int64 {
	f.stopped.Store(true)
	return f.wait()
}

// more waits for n further messages, or for all there are.
func (f *feed) more(n int64) {
	f.h.t.Helper()
	goal := f.sent.Load() + n
	if f.most > 0 {
		goal = min(goal, f.most)
	}
	await(f.h.t, stopTime, func() string { return fmt.Sprintf("%d messages; there are %d", goal, f.sent.Load()) }, func() bool {
		return f.sent.Load() >= goal || f.h.t.Failed()
	})
}

var droppedID = regexp.MustCompile(`qid=(\w+) .*record=dropped`)

// checkFeed checks that each message of a feed has one row, or else a line of
// the log that says that it was dropped, and that the metrics have counted the
// same. The first file is the one in use. One that was moved away before may
// have the rows of a single group twice: the writer sees after a commit that
// the file has gone, and writes them again.
func (f *feed) checkFeed(p counts, files ...string) {
	f.h.t.Helper()
	rows := make(map[string]int)
	twice := 0
	for i, path := range files {
		for qid, n := range f.idsIn(path) {
			if i > 0 && rows[qid] > 0 {
				twice++
				continue
			}
			rows[qid] += n
		}
	}
	if twice > f.n {
		f.h.t.Errorf("%d rows of the file that was moved away are in the next one, too; want no more than one group of at most %d", twice, f.n)
	}
	total := len(rows)
	dropped := make(map[string]bool)
	for _, m := range droppedID.FindAllStringSubmatch(f.h.logs(), -1) {
		dropped[m[1]] = true
	}
	for k := int64(1); k <= f.sent.Load(); k++ {
		id := f.id(k)
		if n := rows[id]; n > 1 || (n == 1) == dropped[id] {
			f.h.t.Errorf("message %s has %d rows, and the log says that it was dropped: %v; want one of both", id, n, dropped[id])
		}
	}
	f.h.t.Logf("%d messages: %d rows in %d files, %d dropped", f.sent.Load(), total, len(files), len(dropped))
	if int(p.written) != total || int(p.dropped) != len(dropped) || int64(p.written+p.dropped) != f.sent.Load() {
		f.h.t.Errorf("counted %v written and %v dropped of %d sent; there are %d rows, and the log has %d dropped", p.written, p.dropped, f.sent.Load(), total, len(dropped))
	}
}

// idsIn returns how many rows each message has in a file.
func (f *feed) idsIn(path string) map[string]int {
	f.h.t.Helper()
	found, err := readStore(path)
	if err != nil {
		f.h.t.Errorf("%s: %v", filepath.Base(path), err)
	}
	ids := make(map[string]int)
	for _, r := range found {
		if r.State != results.Answered {
			f.h.t.Errorf("row of %s has state %d; want %d", r.Facts.QueueID, r.State, results.Answered)
		}
		ids[r.Facts.QueueID]++
	}
	return ids
}

// counts are what the metrics say of all rows.
type counts struct{ written, dropped float64 }

func (p *process) counts() counts {
	return counts{p.metric("dmarcgate_store_records_total", `outcome="written"`), p.metric("dmarcgate_store_dropped_total")}
}

// patientStore is a configuration in which no answer is late.
const patientStore = "[store]\nwait = \"20s\"\n"

// recovers waits until rows are written again, and none is dropped.
func (p *process) recovers(t *testing.T, f *feed) {
	t.Helper()
	before := p.counts()
	p.awaitMetric(fmt.Sprintf("to be above %v: rows are written again", before.written+20), func(v float64) bool { return v > before.written+20 },
		"dmarcgate_store_records_total", `outcome="written"`)
	lost := p.counts().dropped
	f.more(50)
	if now := p.counts().dropped; now != lost {
		t.Errorf("rows dropped after it had recovered = %v; want none", now-lost)
	}
	await(t, stopTime, func() string { return "readiness" }, func() bool { return p.get("/readyz") == nil })
}
