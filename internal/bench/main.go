package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

// floorCommand is the first argument of the process of the milter floor.
const floorCommand = "floor"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// flags is the command line.
type flags struct {
	options
	quick   bool
	record  bool
	history string
	only    string

	gridMessages, gridRepeat int
	pagesMessages            int
	replayRows, replayRepeat int
	reportRows, reportRepeat int
	peerMails, peerRows      int
	renderMessages           int
}

// Parts of a run, for -only.
const (
	partMix    = "mix"
	partGrid   = "grid"
	partReplay = "replay"
	partPages  = "pages"
	partReport = "reports"
	partRender = "rendering"
)

var parts = []string{partMix, partGrid, partReplay, partPages, partReport, partRender}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 2 && args[0] == floorCommand {
		return report(serveFloor(args[1]), stderr)
	}
	if len(args) == 3 && (args[0] == scanCommand || args[0] == renderCommand) {
		return report(readDay(ctx, args[0], args[1], args[2], stdout), stderr)
	}
	f, err := parseFlags(args, stderr)
	if err != nil {
		return exitUsage
	}
	return report(f.run(ctx, stdout, stderr), stderr)
}

func report(err error, stderr io.Writer) int {
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitFailed
	}
	return 0
}

// The sizes of a run, and of a quick one.
const (
	mixMessages, quickMixMessages       = 3000, 500
	mixRepeat, quickMixRepeat           = 5, 3
	gridMessages, quickGridMessages     = 400, 100
	gridRepeat, quickGridRepeat         = 7, 3
	replayRows, quickReplayRows         = 1_000_000, 100_000
	replayRepeat, quickReplayRepeat     = 3, 1
	pagesRows, quickPagesRows           = 1_000_000, 100_000
	pagesMessages, quickPagesMessages   = 60_000, 20_000
	reportRows, quickReportRows         = 1_000_000, 100_000
	reportRepeat, quickReportRepeat     = 3, 1
	peerMails, quickPeerMails           = 5000, 500
	peerRows, quickPeerRows             = 50_000, 5000
	renderMessages, quickRenderMessages = 10_000, 3000
	defaultConnections                  = 10
)

func parseFlags(args []string, stderr io.Writer) (*flags, error) {
	f := &flags{}
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.IntVar(&f.messages, "messages", 0, fmt.Sprintf("messages in each measurement (default %d in the mix and %d in the grid, with -quick %d and %d; DMARCGATE_SCALE multiplies)", mixMessages, gridMessages, quickMixMessages, quickGridMessages))
	set.IntVar(&f.connections, "connections", defaultConnections, "SMTP sessions at once in the mix")
	set.IntVar(&f.repeat, "repeat", 0, fmt.Sprintf("measurements of each row (default %d in the mix, %d in the grid, %d in the replay and the reports; fewer with -quick)", mixRepeat, gridRepeat, replayRepeat))
	set.Uint64Var(&f.seed, "seed", 1, "seed of the mix")
	set.BoolVar(&f.quick, "quick", false, "make a short run, for a first impression")
	set.StringVar(&f.daemon, "daemon", "", "dmarcgate binary to measure (default: built from the checkout)")
	set.StringVar(&f.against, "against", "", "another dmarcgate binary, measured in the mix in turns with the first (default: none)")
	set.BoolVar(&f.record, "record", false, "append the run to the history")
	set.StringVar(&f.history, "history", "docs/bench-history.tsv", "file of recorded runs")
	set.StringVar(&f.only, "only", "", "measure one part: "+partMix+", daemons and floors under one load; "+partGrid+", durabilities and "+chainTitle+" under several loads; "+partReplay+", what-if on stored messages; "+partPages+", mail while status pages are loaded; "+partReport+", documents of a day; or "+partRender+", mail while a daemon makes them (default: all)")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if err := f.complete(set.NArg(), os.Getenv("DMARCGATE_SCALE")); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return nil, err
	}
	return f, nil
}

// complete fills in defaults and refuses what makes no sense.
func (f *flags) complete(rest int, scale string) error {
	pick := func(usual, quick int) int {
		if f.quick {
			return quick
		}
		return usual
	}
	f.gridMessages, f.gridRepeat = cmp.Or(f.messages, pick(gridMessages, quickGridMessages)), cmp.Or(f.repeat, pick(gridRepeat, quickGridRepeat))
	f.replayRows, f.replayRepeat = pick(replayRows, quickReplayRows), cmp.Or(f.repeat, pick(replayRepeat, quickReplayRepeat))
	f.pagesMessages, f.storeRows = cmp.Or(f.messages, pick(pagesMessages, quickPagesMessages)), pick(pagesRows, quickPagesRows)
	f.reportRows, f.reportRepeat = pick(reportRows, quickReportRows), cmp.Or(f.repeat, pick(reportRepeat, quickReportRepeat))
	f.renderMessages = cmp.Or(f.messages, pick(renderMessages, quickRenderMessages))
	f.peerMails, f.peerRows = pick(peerMails, quickPeerMails), pick(peerRows, quickPeerRows)
	f.messages, f.repeat = cmp.Or(f.messages, pick(mixMessages, quickMixMessages)), cmp.Or(f.repeat, pick(mixRepeat, quickMixRepeat))
	if scale != "" {
		n, err := strconv.Atoi(scale)
		if err != nil {
			return fmt.Errorf("DMARCGATE_SCALE = %q; want a whole number", scale)
		}
		f.messages *= n
		f.gridMessages *= n
		f.pagesMessages *= n
		f.renderMessages *= n
	}
	if f.only != "" && !slices.Contains(parts, f.only) {
		return fmt.Errorf("-only %q; want one of %s", f.only, strings.Join(parts, ", "))
	}
	if f.messages < 1 || f.connections < 1 || f.repeat < 1 || rest > 0 {
		return fmt.Errorf("messages, connections and repeat are numbers from 1 up, and nothing else is wanted")
	}
	return nil
}

func (f *flags) run(ctx context.Context, stdout, stderr io.Writer) error {
	if f.daemon == "" {
		dir, err := os.MkdirTemp("", "dmarcgate-bench-build")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if f.daemon, err = build(ctx, dir); err != nil {
			return err
		}
	}
	b, err := newBook(f.history, f.options)
	if err != nil {
		return err
	}
	for _, p := range []struct {
		name string
		run  func() error
	}{
		{partMix, func() error { return f.runRows(ctx, b, f.mix(), stdout, stderr) }},
		{partGrid, func() error { return f.runRows(ctx, b, f.grid(), stdout, stderr) }},
		{partReplay, func() error { return f.runReplay(ctx, stdout, stderr) }},
		{partPages, func() error { return f.runRows(ctx, b, f.pages(), stdout, stderr) }},
		{partReport, func() error { return f.runReports(ctx, stdout, stderr) }},
		{partRender, func() error { return f.runRows(ctx, b, f.rendering(), stdout, stderr) }},
	} {
		if f.only != "" && f.only != p.name {
			continue
		}
		if err := p.run(); err != nil {
			return err
		}
		fmt.Fprintln(stdout)
	}
	if !f.record {
		return nil
	}
	return b.save(f.history)
}

// part is a table of rows.
type part struct {
	options
	name, legend string
	lineup       lineup
	table        []shown
	bounds       func([]*row) []bound
}

func (f *flags) mix() part {
	return part{f.options, partMix, "RATIO is CPU / (milter floor + crypto floor) of the same repetition, to canon the same with canonicalization.", mixRows, mixTable, mixBounds}
}

func (f *flags) grid() part {
	opts := f.options
	opts.messages, opts.repeat = f.gridMessages, f.gridRepeat
	return part{opts, partGrid, "cN is N SMTP sessions of 1 to 5 messages at once; short ones connect to the milter, lasting ones are connected. Ratios are to rows under the same load in the same repetition.", gridRows, gridTable, gridBounds}
}

func (f *flags) pages() part {
	opts := f.options
	opts.messages = f.pagesMessages
	legend := fmt.Sprintf("The daemon has a store of %d rows. Ratios are to the row without requests for pages in the same repetition.", f.storeRows)
	return part{opts, partPages, legend, pageRows, pagesTable, pagesBounds}
}

func (f *flags) rendering() part {
	opts := f.options
	opts.messages = f.renderMessages
	legend := fmt.Sprintf("The daemon has %d rows of yesterday. Mail comes at %g of the highest rate. Ratios are to the row without reports in the same repetition.", f.storeRows, calmShare)
	return part{opts, partRender, legend, renderRows, pagesTable, renderBounds}
}

// runRows measures a part and prints it beside its bounds and the last recorded
// run.
func (f *flags) runRows(ctx context.Context, b *book, p part, stdout, stderr io.Writer) error {
	begin := time.Now()
	rows, err := measureAll(ctx, p.options, p.name, p.lineup, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %d messages, medians of %d repetitions with (least-most); revision %s, %s, %s cores; %v, load %s\n\n",
		p.name, p.messages, p.repeat, b.now["revision"], b.now["go"], b.now["cores"], time.Since(begin).Round(time.Second), machineLoad())
	if err := writeTable(stdout, p.table, rows); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\n%s\np50 and p99 are from connect or MAIL to the answer, answer p50 from end of message.\n", p.legend)
	writeBounds(stdout, p.bounds(rows))
	if old := b.enter(rows); old != nil {
		compare(stdout, rows, b.now, old)
	}
	return nil
}

// runReplay measures what-if.
func (f *flags) runReplay(ctx context.Context, stdout, stderr io.Writer) error {
	begin := time.Now()
	r, err := measureReplay(ctx, f.replayRows, f.replayRepeat, f.daemon, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %d rows, medians of %d repetitions with (least-most); CPU of a bare scan %.0f ms, of what-if %.0f ms; %v, load %s\n", partReplay,
		r.rows, f.replayRepeat, spreadOf(r.scan).median, spreadOf(r.whatIf).median, time.Since(begin).Round(time.Second), machineLoad())
	writeBounds(stdout, r.bounds())
	return nil
}

// build builds the daemon as it is shipped.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "dmarcgate")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "dmarcgate/cmd/dmarcgate")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the daemon: %w\n%s", err, out)
	}
	return path, nil
}
