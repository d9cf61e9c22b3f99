package main

import (
	"context"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The whole, with few messages: every durability is measured and judged, the
// file is taken apart, and all of it goes into the history.
func TestEveryPromiseOfTheStoreIsJudged(t *testing.T) {
	runtime.LockOSThread() // see startProcess
	defer runtime.UnlockOSThread()
	daemon := filepath.Join(t.TempDir(), "dmarcgate")
	buildDaemon(t, daemon)
	opts := storeOptions{options: options{messages: 6, repeat: 2, seed: 1, daemon: daemon}, connections: []int{1, 10}, alone: 20}
	p, err := measureStore(t.Context(), opts, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := p.print(&out, opts); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"async, 10 connections: CPU added = ", "\nack, 10 connections: CPU added = ", "\nack, 10 connections: added to the median answer = ",
		"\nThe store alone", "\nsize of 1,000,000 rows, from ", "\n  message_time ", "\n  message.row ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output has no %q:\n%s", want, out.String())
		}
	}
	if line := lineWith(out.String(), "disk, 10 connections: CPU added"); !strings.HasSuffix(line, "ok") && !strings.HasSuffix(line, "MISSED") {
		t.Errorf("line of disk = %q; want a verdict", line)
	}
	if strings.Contains(out.String(), ", 1 connections: CPU added") {
		t.Errorf("a single connection is judged:\n%s", out.String())
	}
	rec := make(record)
	rec.enter(p.rows())
	for _, name := range []string{"store_off_1.cpu_ms", "store_ack_10.added_cpu_ms", "store_disk_1.added_p50_ms"} {
		if rec[name] == "" {
			t.Errorf("no %s in the history: %v", name, rec)
		}
	}
}

// lineWith returns the line that begins so.
func lineWith(text, begin string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, begin) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func TestTheStoreIsHeldAgainstTheDaemonWithoutOne(t *testing.T) {
	for _, tt := range []struct {
		name             string
		offCPU, cpu, p50 float64
		want             []string
	}{
		{"little", 0.4, 0.44, 5, []string{"CPU added = 10.0 % (10.0-10.0) < 15 % ok", "= 4.00 ms (4.00-4.00) < 5 ms ok"}},
		{"much", 0.4, 0.5, 7, []string{"CPU added = 25.0 % (25.0-25.0) < 15 % MISSED", "= 6.00 ms (6.00-6.00) < 5 ms MISSED"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cells := makeCells([]int{10})
			for _, c := range cells {
				s := newSample()
				s[cpu], s[p50], s[objects] = tt.cpu, tt.p50, 520
				if c.off == nil {
					s[cpu], s[p50], s[objects] = tt.offCPU, 1, 500
				}
				c.samples = []sample{s}
			}
			setAdded(cells, 0)
			got := strings.Join(storeFacts(cells), "\n")
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("storeFacts = %q; want %q in it", got, want)
				}
			}
			if s := cells[2].samples[0]; s[addedObjects] != 20 {
				t.Errorf("allocations added = %g; want 20", s[addedObjects])
			}
		})
	}
}

func TestTheSizeOfARowIsJudged(t *testing.T) {
	s := fileSize{rows: 1000, bytes: 500_000, parts: []filePart{{"message", 450_000, 20_000}, {"meta", 400, 0}}, values: []filePart{{"row", 300_000, 0}}}
	got := strings.Join(s.facts(), "\n")
	want := "size of 1,000,000 rows, from 1000 = 500 MB < 600 MB ok\n  message               450.0 MB, of which 20.0 unused\n  message.row           300.0 MB"
	if got != want {
		t.Errorf("facts = %q; want %q", got, want)
	}
	s.bytes = 600_000
	if got := s.facts()[0]; !strings.HasSuffix(got, "= 600 MB < 600 MB MISSED") {
		t.Errorf("facts of 600 bytes a row = %q; want it to be missed", got)
	}
}

func TestAFileThatIsNotThereHasNoSize(t *testing.T) {
	if s, err := sizeOf(context.Background(), filepath.Join(t.TempDir(), "none.db")); err == nil {
		t.Errorf("sizeOf a file that is not there = %+v; want an error", s)
	}
}
