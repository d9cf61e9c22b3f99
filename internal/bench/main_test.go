package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/scale"
)

func TestWrongFlagsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-messages", "-1"}, {"-repeat", "-2"}, {"-connections", "0"}, {"extra"}, {"-nonsense"}, {"-only", "some"}} {
		var stderr strings.Builder
		if code := run(context.Background(), args, &stderr, &stderr); code != exitUsage || stderr.Len() == 0 {
			t.Errorf("run(%q) = %d, %q; want %d and a reason", args, code, stderr.String(), exitUsage)
		}
	}
}

func TestFlagsThatAreNotSetHaveDefaults(t *testing.T) {
	tests := []struct {
		name             string
		flags            flags
		scale            string
		messages, repeat int
	}{
		{"nothing", flags{}, "", mixMessages, mixRepeat},
		{"quick", flags{quick: true}, "1", quickMixMessages, quickMixRepeat},
		{"scale multiplies messages", flags{options: options{messages: 20}}, "3", 60, mixRepeat},
		{"quick, with repetitions", flags{quick: true, options: options{repeat: 7}}, "", quickMixMessages, 7},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.flags
			f.connections = 1
			if err := f.complete(0, tt.scale); err != nil || f.messages != tt.messages || f.repeat != tt.repeat {
				t.Errorf("complete = %d messages, %d repetitions, %v; want %d, %d", f.messages, f.repeat, err, tt.messages, tt.repeat)
			}
		})
	}
	f := flags{options: options{connections: 1}}
	if err := f.complete(0, "many"); err == nil {
		t.Error("a scale of many is taken")
	}
}

// The whole, with few messages: every row is measured and recorded, and the
// run is compared with the last recorded one.
func TestARunMeasuresEveryRow(t *testing.T) {
	t.Setenv("DMARCGATE_SCALE", "1")
	dir := t.TempDir()
	daemon, history := testDaemon(t), filepath.Join(dir, "history.tsv")
	if err := os.WriteFile(history, []byte(strings.Join(runColumns, "\t")+"\tfigure\tvalue\nlong ago\t\t\t\t\t\t\t\tmix_ack.ratio\t10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	args := []string{"-daemon", daemon, "-history", history, "-messages", "12", "-repeat", "1", "-connections", "3", "-record", "-only", "mix"}
	if code := run(t.Context(), args, &stdout, &stderr); code != 0 {
		t.Fatalf("run(%q) = %d; stderr:\n%s", args, code, stderr.String())
	}
	h, err := readHistory(history)
	if err != nil || len(h) != 2 {
		t.Fatalf("history = %+v, %v; want two runs", h, err)
	}
	for _, c := range configurations {
		if h[1][c.key+".ratio"] == "" {
			t.Errorf("no ratio of %s; the output is:\n%s", c.title, stdout.String())
		}
	}
	if want := "\nagainst long ago"; !strings.Contains(stdout.String(), want) {
		t.Errorf("output has no %q:\n%s", want, stdout.String())
	}
}

func TestTheGridHasEveryDurabilityUnderEveryLoad(t *testing.T) {
	rows, err := measureAll(t.Context(), options{messages: 5, connections: 2, repeat: 1, seed: 1, daemon: testDaemon(t)}, partGrid, gridRows, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, short := range []bool{true, false} {
		for _, n := range gridConnections {
			for _, d := range durabilities {
				r := find(rows, gridKey(d, load{connections: n, short: short}))
				if r == nil || len(r.samples) != 1 {
					t.Errorf("no row of %v, %s with a measurement", load{connections: n, short: short}, d)
				} else if math.IsNaN(r.samples[0][cpuOff]) {
					t.Errorf("%s has no ratio to the daemon without a store", r.title)
				}
			}
		}
	}
}

// Mail is measured beside readers of the status pages. At full size, without the race
// detector (make soak), the bound of docs/testing.md is kept.
func TestMailWaitsNoLongerWhileStatusPagesAreLoaded(t *testing.T) {
	opts := options{messages: 20, connections: 2, repeat: 1, seed: 1, storeRows: 500, daemon: testDaemon(t)}
	full := scale.Of(t) > 1 && !raced
	if full {
		opts.messages, opts.connections, opts.repeat, opts.storeRows = pagesMessages, defaultConnections, mixRepeat, pagesRows
	}
	rows, err := measureAll(t.Context(), opts, partPages, pageRows, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	bounds := pagesBounds(rows)
	if len(bounds) != len(crowds) {
		t.Errorf("%d bounds; want one for each of %d crowds of readers", len(bounds), len(crowds))
	}
	for _, b := range bounds {
		t.Log(b)
		if kept := b.kept(); kept == "not measured" || full && kept != "kept" {
			t.Errorf("%s is %s", b.title, kept)
		}
	}
}

func TestABoundIsMissedByItsMedianAlone(t *testing.T) {
	for _, tt := range []struct {
		bound bound
		want  string
	}{
		{bound{atMost: 2, values: []float64{1, 2, 9}}, "kept"},
		{bound{atMost: 2, values: []float64{1, 3, 9}}, "MISSED"},
		{bound{least: 2, values: []float64{1, 2, 9}}, "kept"},
		{bound{least: 2, values: []float64{0, 1, 9}}, "MISSED"},
		{bound{atMost: 2}, "not measured"},
	} {
		if got := tt.bound.kept(); got != tt.want {
			t.Errorf("%+v: %s; want %s", tt.bound, got, tt.want)
		}
	}
}

// The documents of two days, with few messages: both are made and measured.
func TestReportsMeasureBothDays(t *testing.T) {
	d, err := measureDays(t.Context(), 3000, 1, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	bounds := d.bounds()
	for _, b := range bounds {
		t.Log(b)
		if len(b.values) != 1 || b.atMost == 0 {
			t.Errorf("%s has %d figures and the bound %v; want one, and a bound", b.title, len(b.values), b.atMost)
		}
	}
	if len(bounds) != 5 || d.scans[0][0] <= 0 || d.render[1][0] <= 0 || d.record[0] <= 0 {
		t.Errorf("there are %d bounds, and figures are %+v", len(bounds), d)
	}
}

// A few mails and rows, beside smtp-source and Mail::DMARC where they are installed.
func TestReportsMeasurePeers(t *testing.T) {
	p, err := measurePeers(t.Context(), 20, 2000, 1, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range p.bounds() {
		t.Log(b)
		if len(b.values) != 1 && len(p.notes) == 0 || b.least+b.atMost == 0 {
			t.Errorf("bound %d, %s, has %d figures; want one, or a note why there is none: %q", i, b.title, len(b.values), p.notes)
		}
	}
}

// A daemon takes the settings under which it makes reports beside mail, and counts them.
func TestRenderingHasSettingsThatTheDaemonTakes(t *testing.T) {
	dir := t.TempDir()
	if err := writeKey(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	zone, err := dnstest.Parse(wantingZone("")) // the identity is not in it
	if err != nil {
		t.Fatal(err)
	}
	dns, err := dnstest.ServeAt(zone, loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	d, err := startDaemon(t.Context(), testDaemon(t), dir, daemonConfig{durability: "ack", dns: dns.Addr(), more: reportsConfig(dir)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	for _, name := range []string{plannedCounter, madeCounter} {
		if n, err := d.counter(name); err != nil || n != 0 {
			t.Errorf("%s = %v, %v; want none yet", name, n, err)
		}
	}
	if err := forgetReports(dir); err != nil {
		t.Error(err)
	}
}

// Sessions begin at a pace, however fast the answers come.
func TestPaceBoundsTheRate(t *testing.T) {
	const every, sessions = 10 * time.Millisecond, 20
	w := worker{player: player{every: every, begin: time.Now()}}
	w.pause(sessions - 1)
	if took := time.Since(w.begin); took < (sessions-1)*every {
		t.Errorf("session %d began after %v; want at least %v", sessions, took, (sessions-1)*every)
	}
}

// TestMain is also the process of the milter floor, and those that read a day, for which
// the program starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && (os.Args[1] == scanCommand || os.Args[1] == renderCommand) {
		os.Exit(report(readDay(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Stdout), os.Stderr))
	}
	if len(os.Args) == 3 && os.Args[1] == floorCommand {
		os.Exit(report(serveFloor(os.Args[2]), os.Stderr))
	}
	var err error
	if built.dir, err = os.MkdirTemp("", "dmarcgate-bench-test"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(built.dir)
	os.Exit(code)
}

// built is the daemon, which all tests share.
var built struct {
	dir  string
	once sync.Once
	err  error
}

// testDaemon returns the path of a daemon that is built the way this test was
// built, so that its parts come from the build cache.
func testDaemon(t *testing.T) string {
	t.Helper()
	path := filepath.Join(built.dir, "dmarcgate")
	built.once.Do(func() {
		args := []string{"build", "-buildvcs=false", "-o", path}
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, s := range info.Settings {
				if s.Key == "-race" && s.Value == "true" {
					args = append(args, "-race")
				}
			}
		}
		if out, err := exec.Command("go", append(args, "dmarcgate/cmd/dmarcgate")...).CombinedOutput(); err != nil {
			built.err = fmt.Errorf("building the daemon: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return path
}
