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
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
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

	storeMessages, storeRepeat int
}

// Parts of a run, for -only.
const (
	partMix     = "mix"
	partEngines = "engines"
	partDNS     = "dns"
	partStore   = "store"
	partRules   = "rules"
)

var parts = []string{partMix, partStore, partEngines, partDNS, partRules}

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
	set.StringVar(&f.only, "only", "", "measure one part: "+partMix+", the daemon with a mix of messages, "+partEngines+", DKIM and SPF beside other implementations, "+partDNS+", the cache and what is promised of it, "+partStore+", what each durability adds to a message, and the size of a row, or "+partRules+", decisions with many rules, and what-if")
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
	storeMessages, storeRepeat := defaultStoreMessages, defaultStoreRepeat
	if f.quick {
		messages, repeat, engineRepeat = quickMessages, quickRepeat, quickEngineRepeat
		storeMessages, storeRepeat = quickStoreMessages, quickStoreRepeat
	}
	f.engineRepeat, f.storeRepeat, f.repeat = cmp.Or(f.repeat, engineRepeat), cmp.Or(f.repeat, storeRepeat), cmp.Or(f.repeat, repeat)
	f.storeMessages, f.messages = cmp.Or(f.messages, storeMessages), cmp.Or(f.messages, messages)
	if scale != "" {
		n, err := strconv.Atoi(scale)
		if err != nil {
			return fmt.Errorf("DMARCGATE_SCALE = %q; want a whole number", scale)
		}
		f.messages *= n
		f.storeMessages *= n
	}
	if f.only != "" && !slices.Contains(parts, f.only) {
		return fmt.Errorf("-only %q; want one of %s", f.only, strings.Join(parts, ", "))
	}
	if f.messages < 1 || f.connections < 1 || f.repeat < 1 || rest > 0 {
		return fmt.Errorf("messages, connections and repeat are numbers from 1 up, and nothing else is wanted")
	}
	return nil
}

// wants reports whether a part is measured.
func (f *flags) wants(part string) bool { return f.only == "" || f.only == part }

func (f *flags) run(ctx context.Context, stdout, stderr io.Writer) error {
	if f.daemon == "" && f.only != partEngines {
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
	if err := f.runParts(ctx, b, stdout, stderr); err != nil || !f.record {
		return err
	}
	return b.save(f.history)
}

// runParts runs what is wanted, one after the other.
func (f *flags) runParts(ctx context.Context, b *book, stdout, stderr io.Writer) error {
	var rows []*row
	for _, p := range []struct {
		name string
		run  func() error
	}{
		{partMix, func() (err error) { rows, err = f.runMix(ctx, b, stdout, stderr); return err }},
		{partStore, func() error { return f.runStore(ctx, b, stdout, stderr) }},
		{partEngines, func() error {
			engines := fullEngines
			engines.seed, engines.repeat = f.seed, f.engineRepeat
			return compareEngines(ctx, engines, stdout, stderr)
		}},
		{partDNS, func() error { return f.runDNS(ctx, rows, stdout, stderr) }},
		{partRules, func() error { return f.runRules(ctx, stdout, stderr) }},
	} {
		if !f.wants(p.name) {
			continue
		}
		if err := p.run(); err != nil {
			return err
		}
		fmt.Fprintln(stdout)
	}
	return nil
}

// runMix plays the mix on daemons and returns every row.
func (f *flags) runMix(ctx context.Context, b *book, stdout, stderr io.Writer) ([]*row, error) {
	rows, err := measureAll(ctx, f.options, everyRow, stderr)
	if err != nil {
		return nil, err
	}
	old := b.enter(rows)
	return rows, f.show(stdout, rows, b.now, old)
}

// runStore measures what the store adds, and what it keeps.
func (f *flags) runStore(ctx context.Context, b *book, stdout, stderr io.Writer) error {
	opts := storeOptions{options: f.options, connections: storeConnections, alone: storeRows}
	opts.messages, opts.repeat = f.storeMessages, f.storeRepeat
	if f.quick {
		opts.alone = quickStoreRows
	}
	part, err := measureStore(ctx, opts, stderr)
	if err != nil {
		return err
	}
	if err := part.print(stdout, opts); err != nil {
		return err
	}
	if old := b.enter(part.rows()); old != nil {
		compare(stdout, part.rows(), b.now, old)
	}
	return nil
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

// runRules measures decisions with many rules, and what-if.
func (f *flags) runRules(ctx context.Context, stdout, stderr io.Writer) error {
	opts := fullRules
	if f.quick {
		opts = quickRules
	}
	opts.repeat = f.engineRepeat
	return compareRules(ctx, opts, f.daemon, stdout, stderr)
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
