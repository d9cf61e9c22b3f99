package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
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
	runtime.LockOSThread() // see startProcess
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
}

// Parts of a run, for -only.
const (
	partMix     = "mix"
	partEngines = "engines"
	partDNS     = "dns"
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 2 && args[0] == floorCommand {
		return report(serveFloor(args[1]), stderr)
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

// What a run is like that says nothing else, and a quick one.
const (
	defaultMessages, quickMessages = 3000, 500
	defaultRepeat, quickRepeat     = 5, 3
	defaultConnections             = 10

	// The engines are repeated more often: it costs little, and their figures
	// are held against bounds.
	defaultEngineRepeat, quickEngineRepeat = 11, 5
)

func parseFlags(args []string, stderr io.Writer) (*flags, error) {
	f := &flags{}
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.IntVar(&f.messages, "messages", 0, fmt.Sprintf("messages in each measurement (default %d, %d with -quick; DMARCGATE_SCALE multiplies)", defaultMessages, quickMessages))
	set.IntVar(&f.connections, "connections", defaultConnections, "milter connections")
	set.IntVar(&f.repeat, "repeat", 0, fmt.Sprintf("measurements of each row (default %d and %d for engines, %d and %d with -quick)", defaultRepeat, defaultEngineRepeat, quickRepeat, quickEngineRepeat))
	set.Uint64Var(&f.seed, "seed", 1, "seed of the mix")
	set.BoolVar(&f.quick, "quick", false, "a short run, for a first impression")
	set.StringVar(&f.daemon, "daemon", "", "dmarcgate binary to measure; built from the checkout when empty")
	set.BoolVar(&f.record, "record", false, "append the run to the history")
	set.StringVar(&f.history, "history", "docs/bench-history.tsv", "file of recorded runs")
	set.StringVar(&f.only, "only", "", "measure one part: "+partMix+", the daemon with a mix of messages, "+partEngines+", DKIM and SPF beside other implementations, or "+partDNS+", the cache and what is promised of it")
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
	messages, repeat, engineRepeat := defaultMessages, defaultRepeat, defaultEngineRepeat
	if f.quick {
		messages, repeat, engineRepeat = quickMessages, quickRepeat, quickEngineRepeat
	}
	if f.engineRepeat = f.repeat; f.repeat == 0 {
		f.repeat, f.engineRepeat = repeat, engineRepeat
	}
	if f.messages == 0 {
		f.messages = messages
	}
	if scale != "" {
		n, err := strconv.Atoi(scale)
		if err != nil {
			return fmt.Errorf("DMARCGATE_SCALE = %q; want a whole number", scale)
		}
		f.messages *= n
	}
	if f.only != "" && f.only != partMix && f.only != partEngines && f.only != partDNS {
		return fmt.Errorf("-only %q; want %s, %s or %s", f.only, partMix, partEngines, partDNS)
	}
	if f.messages < 1 || f.connections < 1 || f.repeat < 1 || rest > 0 {
		return fmt.Errorf("messages, connections and repeat are numbers from 1 up, and nothing else is wanted")
	}
	return nil
}

// wants reports whether a part is measured.
func (f *flags) wants(part string) bool { return f.only == "" || f.only == part }

func (f *flags) run(ctx context.Context, stdout, stderr io.Writer) error {
	if f.daemon == "" && (f.wants(partMix) || f.wants(partDNS)) {
		dir, err := os.MkdirTemp("", "dmarcgate-bench-build")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if f.daemon, err = build(ctx, dir); err != nil {
			return err
		}
	}
	var rows []*row
	if f.wants(partMix) {
		var err error
		if rows, err = f.runMix(ctx, stdout, stderr); err != nil {
			return err
		}
	}
	if f.wants(partEngines) {
		fmt.Fprintln(stdout)
		engines := fullEngines
		engines.seed, engines.repeat = f.seed, f.engineRepeat
		if err := compareEngines(ctx, engines, stdout, stderr); err != nil {
			return err
		}
	}
	if f.wants(partDNS) {
		fmt.Fprintln(stdout)
		return f.runDNS(ctx, rows, stdout, stderr)
	}
	return nil
}

// runMix plays the mix on daemons and returns every row.
func (f *flags) runMix(ctx context.Context, stdout, stderr io.Writer) ([]*row, error) {
	past, err := readHistory(f.history)
	if err != nil {
		return nil, err
	}
	now := newRecord(f.options, time.Now())
	rows, err := measureAll(ctx, f.options, everyRow, stderr)
	if err != nil {
		return nil, err
	}
	figures := now.enter(rows)
	if err := f.show(stdout, rows, now, past.last()); err != nil || !f.record {
		return rows, err
	}
	past.add(now, figures)
	return rows, past.save(f.history)
}

// runDNS measures the cache. rows are those of the mix; without them it plays
// what it needs of it.
func (f *flags) runDNS(ctx context.Context, rows []*row, stdout, stderr io.Writer) error {
	if rows == nil {
		var err error
		if rows, err = measureAll(ctx, f.options, rowsForDNS, stderr); err != nil {
			return err
		}
	}
	opts := fullDNS
	if f.quick {
		opts = quickDNS
	}
	opts.seed, opts.repeat = f.seed, f.engineRepeat
	return compareDNS(ctx, opts, rows, stdout, stderr)
}

// show prints the run, and the last recorded one beside it.
func (f *flags) show(w io.Writer, rows []*row, now, old record) error {
	fmt.Fprintf(w, "%d messages, %d connections, %d repetitions; revision %s, %s, %s cores, load %s before and %s after\n\n",
		f.messages, f.connections, f.repeat, now["revision"], now["go"], now["cores"], now["load"], load())
	if err := writeTable(w, rows); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nRATIO is CPU / (milter floor + crypto floor) of the same repetition. Medians, with (least-most).")
	if old != nil {
		compare(w, rows, now, old)
	}
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
