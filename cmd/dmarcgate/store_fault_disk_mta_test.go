//go:build mta

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"dmarcgate/internal/disktest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/results"
)

// diskRun is what a daemon has done to its files, and what it has promised of
// them meanwhile.
type diskRun struct {
	ops  []disktest.Op
	path string // of the store
	log  string // of the daemon
}

// traceDaemon lets a daemon serve n messages and stop, under strace.
func traceDaemon(t *testing.T, durability string, n int) diskRun {
	t.Helper()
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), extra: fmt.Sprintf("[store]\ndurability = %q\nwait = \"20s\"\n", durability)})
	trace := filepath.Join(t.TempDir(), "trace")
	h.tracer = disktest.Trace(trace)
	p := h.start()
	var wg sync.WaitGroup
	const clients = 8
	for part := range clients {
		wg.Go(func() {
			if err := sendMany(h, part, n, clients); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p.stop()
	var text []byte
	eventually(t, "the end of the trace", func() (ok bool) {
		var err error
		text, err = os.ReadFile(trace)
		return err == nil && disktest.Exited(text, p.pid())
	})
	ops, err := disktest.Parse(bytes.NewReader(text), h.dir)
	if err != nil {
		t.Fatal(err)
	}
	return diskRun{ops, h.storePath(), p.logFile}
}

// sendMany sends the messages part, part+step, part+2*step … below n.
func sendMany(h *host, part, n, step int) error {
	c, err := h.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	for i := part; i < n; i += step {
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
func TestTheFilesOfEveryMomentAreAStore(t *testing.T) {
	for _, durability := range []results.Durability{results.Ack, results.Disk} {
		t.Run(string(durability), func(t *testing.T) {
			run := traceDaemon(t, string(durability), 300*scale(t))
			r := rand.New(rand.NewPCG(1, uint64(len(run.ops))))
			moments := run.moments(r, 40*scale(t))
			var disk disktest.Disk
			acked := make(map[string]bool)
			most := 0
			for i, op := range run.ops {
				if moments[i] {
					text := fmt.Sprintf("before operation %d of %d, on %s", i, len(run.ops), filepath.Base(op.Path))
					checkMoment(t, text+", after a kill", disk.Killed(), acked)
					for _, share := range []float64{0, 0.5, 0.95} {
						must := acked
						if durability != results.Disk {
							must = nil
						}
						most = max(most, checkMoment(t, fmt.Sprintf("%s, after a power cut that left %v of what was not synced", text, share), disk.Cut(r, share), must))
					}
				}
				if op.Path == run.log {
					noteAcked(acked, op.Data)
				} else {
					disk.Do(op)
				}
				if t.Failed() {
					break
				}
			}
			if len(acked) < 300*scale(t) || most == 0 {
				t.Errorf("%d rows acknowledged, at most %d rows after a cut: the test has not looked at what it should", len(acked), most)
			}
			t.Logf("%d operations, %d moments, %d rows acknowledged", len(run.ops), len(moments), len(acked))
		})
	}
}

// moments chooses operations before which to look: a quarter of what is wanted
// are syncs, with the operations right after them, a quarter is when the log
// moves into the file, and the rest is anything.
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

// noteAcked takes down the messages of a piece of the log that say nothing of a
// row that is not there.
func noteAcked(acked map[string]bool, log []byte) {
	for _, m := range ackedLine.FindAllSubmatch(log, -1) {
		acked[string(m[1])] = true
	}
}

// checkMoment opens the files that a moment leaves, and returns how many rows
// they have.
func checkMoment(t *testing.T, moment string, files map[string][]byte, must map[string]bool) int {
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
