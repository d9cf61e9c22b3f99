//go:build mta

package main

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/scale"
	"dmarcgate/results"
)

// mayLose says whose row may be missing after a daemon was killed.
type mayLose func(a told, late bool, kills []time.Time) bool

func lostNever(told, bool, []time.Time) bool { return false }

// lostLate is what a bounded wait promises: who does not wait is told so.
func lostLate(_ told, late bool, _ []time.Time) bool { return late }

// asyncWindow is the 20 ms that async may lose, and what a busy machine puts
// between an answer and the client's looking at its clock.
const asyncWindow = 500 * time.Millisecond

// lostAtTheKill is what async promises: only what was answered at the last
// moment, and each such line says that it did not wait.
func lostAtTheKill(a told, late bool, kills []time.Time) bool {
	for _, k := range kills {
		if gap := k.Sub(a.at); late && gap.Abs() < asyncWindow {
			return true
		}
	}
	return false
}

// A daemon that is killed while a real Postfix asks it leaves a store that
// opens clean, with one row for each message whose answer Postfix got. What may
// be missing is what the durability says, and no more.
func TestServeKilledHasRecordedAnswers(t *testing.T) {
	tests := []struct {
		name, store string
		lost        mayLose
	}{
		{"answers wait for the commit", "wait = \"5s\"\n", lostNever},
		{"answers wait for 10 ms", "wait = \"10ms\"\n", lostLate},
		{"answers wait for the disk", "durability = \"disk\"\nwait = \"20s\"\n", lostNever},
		{"answers do not wait", "durability = \"async\"\n", lostAtTheKill},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := 2 * scale.Of(t)
			dns := dnstest.New(t, processZone)
			h := newHost(t, hostConfig{dns: dns.Addr(), extra: "[store]\n" + tt.store})
			p := h.start()
			s := newSenders(t, h.startPostfix())
			s.start(6)
			r := rand.New(rand.NewPCG(uint64(n), 0))
			for range n {
				s.await(s.answered.Load() + 5 + r.Int64N(20))
				pause(time.Duration(r.Int64N(int64(50 * time.Millisecond))))
				p.mustRun()
				s.kills = append(s.kills, time.Now())
				p.kill()
				h.checkFiles()
				p = h.start()
			}
			s.await(s.answered.Load() + 10)
			s.stop()
			p.stop()
			lost := s.checkRows(h, tt.lost)
			t.Logf("%d kills, %d messages answered, %d deferred by Postfix, %d rows lost", n, s.answered.Load(), s.deferred.Load(), lost)
		})
	}
}

// checkFiles opens a copy of what the last daemon left, as the next one will.
func (h *host) checkFiles() {
	h.t.Helper()
	if _, err := readStore(copyStore(h.t, h.storePath(), h.t.TempDir(), storeFiles...)); err != nil {
		h.t.Errorf("the store that a killed daemon left: %v", err)
	}
}

// copyStore copies the files of a store as they are, in the order of ends, and
// returns the path of the copy.
func copyStore(t *testing.T, path, dir string, ends ...string) string {
	t.Helper()
	to := filepath.Join(dir, filepath.Base(path))
	for _, end := range ends {
		text, err := os.ReadFile(path + end)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(to+end, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// checkRows checks that every answered message has its one row, and returns how
// many have none and may.
func (s *senders) checkRows(h *host, may mayLose) (lost int) {
	s.t.Helper()
	rows, late := h.rows(), lateIDs(h.logs())
	for qid, a := range s.answers {
		row, ok := rows[qid]
		switch {
		case ok && row.State != results.Answered:
			s.t.Errorf("the row of %s, answered %d, has state %d, and reports leave it out", qid, a.code, row.State)
		case ok:
		case may(a, late[qid], s.kills):
			lost++
		default:
			s.t.Errorf("message %s was answered %d and has no row; the log says that it did not wait for one: %v", qid, a.code, late[qid])
		}
	}
	return lost
}
