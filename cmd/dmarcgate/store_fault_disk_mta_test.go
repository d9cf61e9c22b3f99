//go:build mta

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/disktest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/scale"
	"dmarcgate/results/sqlite"
)

// diskRun is what daemons have done to their files one after the other.
type diskRun struct {
	ops  []disktest.Op
	path string // of the store
}

// lives is how many daemons there are; one in the middle is killed.
const lives = 3

// traceDaemons lets daemons serve n messages in all, under strace.
func traceDaemons(t *testing.T, durability string, n int) (run diskRun) {
	t.Helper()
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), extra: fmt.Sprintf("[store]\ndurability = %q\nwait = \"20s\"\n", durability)})
	run.path = h.storePath()
	for life := range lives {
		trace := filepath.Join(t.TempDir(), "trace")
		h.tracer = disktest.Trace(trace)
		p := h.start()
		var wg sync.WaitGroup
		const clients = 8
		for part := range clients {
			wg.Go(func() {
				if err := sendMany(h, n*life/lives+part, n*(life+1)/lives, clients); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if life == 1 {
			p.kill()
		} else {
			p.stop()
		}
		run.ops = append(run.ops, readTrace(t, trace, h.dir, p.pid())...)
	}
	return run
}

func readTrace(t *testing.T, path, dir string, pid int) []disktest.Op {
	t.Helper()
	var text []byte
	daemontest.Eventually(t, "the end of the trace", func() bool {
		var err error
		text, err = os.ReadFile(path)
		return err == nil && disktest.Exited(text, pid)
	})
	ops, err := disktest.Parse(bytes.NewReader(text), dir, "mta-names.json")
	if err != nil {
		t.Fatal(err)
	}
	return ops
}

// sendMany sends the messages first, first+step, first+2*step … below end.
func sendMany(h *host, first, end, step int) error {
	c, err := h.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	for i := first; i < end; i += step {
		if err := sendDomain(c, []string{"good.example", "bad.example"}[i%2], fmt.Sprintf("4X%d", i)); err != nil {
			return err
		}
	}
	return c.Quit()
}

// At every moment, and above all before and after each sync, what a daemon has
// written so far makes a store that opens clean, with the rows of a beginning
// and no hole in it, and with every row that was acknowledged: after a kill
// always, after a power cut when the durability is disk.
func TestStoreFilesAreConsistentAtAnyMoment(t *testing.T) {
	for _, durability := range []sqlite.Durability{sqlite.Ack, sqlite.Disk} {
		t.Run(string(durability), func(t *testing.T) {
			size := min(scale.Of(t), 4) // each moment reads all rows, four times
			n := 300 * size
			run := traceDaemons(t, string(durability), n)
			r := rand.New(rand.NewPCG(1, uint64(len(run.ops))))
			moments := run.moments(r, 40*size)
			w := diskWatch{t: t, r: r, synced: durability == sqlite.Disk, acked: make(map[string]bool)}
			for i, op := range run.ops {
				if moments[i] && !t.Failed() {
					w.look(fmt.Sprintf("before operation %d of %d, on %s", i, len(run.ops), filepath.Base(op.Path)))
				}
				w.do(op)
			}
			w.look("at the end")
			if len(w.acked) != n || w.most != n {
				t.Errorf("%d rows acknowledged, at most %d rows after a cut; want both to come to %d", len(w.acked), w.most, n)
			}
			t.Logf("%d operations, %d moments, %d rows acknowledged, at most %d lost in a power cut", len(run.ops), len(moments), n, w.lost)
		})
	}
}

// diskWatch looks at the files while operations are done.
type diskWatch struct {
	t      *testing.T
	r      *rand.Rand
	synced bool // what was acknowledged has to survive a power cut, too
	disk   disktest.Disk
	acked  map[string]bool
	most   int // rows after a power cut
	lost   int // rows that were acknowledged and that a power cut took away, at most
}

func (w *diskWatch) do(op disktest.Op) {
	if strings.HasPrefix(filepath.Base(op.Path), "log.") {
		noteAcked(w.acked, op.Data)
		return
	}
	w.disk.Do(op)
}

func (w *diskWatch) look(when string) {
	w.t.Helper()
	checkMoment(w.t, when+", after a kill", w.disk.Killed(), w.acked, false)
	must := w.acked
	if !w.synced {
		must = nil
	}
	for _, share := range []float64{0, 0.5, 0.95} {
		n := checkMoment(w.t, fmt.Sprintf("%s, after a power cut that left %v of what was not synced", when, share), w.disk.Cut(w.r, share), must, len(w.acked) == 0)
		w.most, w.lost = max(w.most, n), max(w.lost, len(w.acked)-n)
	}
}

// moments chooses operations before which to look: a quarter of what is wanted
// are syncs, with the operations right after them, a quarter is when the log
// moves into the file, and the rest is anything. A log that begins is always
// looked at.
func (run diskRun) moments(r *rand.Rand, n int) map[int]bool {
	var syncs, moves []int
	for i, op := range run.ops {
		switch {
		case op.Kind == disktest.Sync:
			syncs = append(syncs, i)
		case op.Path == run.path:
			moves = append(moves, i)
		}
	}
	out := make(map[int]bool)
	for i, op := range run.ops[:len(run.ops)-1] {
		if op.Path == run.path+"-wal" && op.Kind == disktest.Write && op.At == 0 {
			out[i], out[i+1] = true, true
		}
	}
	for _, i := range r.Perm(len(syncs))[:min(n/4, len(syncs))] {
		out[syncs[i]], out[min(syncs[i]+1, len(run.ops)-1)] = true, true
	}
	for _, i := range r.Perm(len(moves))[:min(n/4, len(moves))] {
		out[moves[i]] = true
	}
	for len(out) < min(n, len(run.ops)) {
		out[r.IntN(len(run.ops))] = true
	}
	return out
}

var ackedLine = regexp.MustCompile(`qid=(\w+) .*action=\w+\n`)

// noteAcked records the messages of a piece of the log that say nothing of a
// row that is not there.
func noteAcked(acked map[string]bool, log []byte) {
	for _, m := range ackedLine.FindAllSubmatch(log, -1) {
		acked[string(m[1])] = true
	}
}

// checkMoment opens the files that a moment leaves, and returns how many rows
// they have. A file that is cut off in the making holds nothing yet, and may be
// set aside for another.
func checkMoment(t *testing.T, moment string, files map[string][]byte, must map[string]bool, making bool) int {
	t.Helper()
	dir, err := os.MkdirTemp("", "dg")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "results.db")
	for name, text := range files {
		if strings.HasPrefix(filepath.Base(name), "results.db") {
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := os.Stat(path); err != nil {
		return 0 // not made yet
	}
	rows, err := readStore(path)
	if making && errors.Is(err, errSetAside) {
		return 0
	}
	if err != nil {
		t.Errorf("%s: %v", moment, err)
		return 0
	}
	there := make(map[string]bool)
	for i, row := range rows {
		if row.Sequence != int64(i+1) {
			t.Errorf("%s: row %d has the number %d: there is a hole", moment, i+1, row.Sequence)
		}
		there[row.Facts.QueueID] = true
	}
	if len(there) != len(rows) {
		t.Errorf("%s: %d rows of %d messages", moment, len(rows), len(there))
	}
	for qid := range must {
		if !there[qid] {
			t.Errorf("%s: message %s was acknowledged and is not among the %d rows", moment, qid, len(rows))
		}
	}
	return len(rows)
}
