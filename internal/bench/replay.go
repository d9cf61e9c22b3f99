package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/sum"
	"dmarcgate/results"
	"dmarcgate/results/dbread"
	"dmarcgate/results/sqlite"
)

// replay is what "what-if" costs beside a bare scan of the same rows.
type replay struct {
	rows   int
	scan   []float64 // ms of CPU
	whatIf []float64 // ms of CPU of the command, its start included
	peak   float64   // bytes, the most of all runs
}

// The rows of the replay.
const (
	replayDays    = 5
	replayDomains = 2000
)

// storeFile is the name of the store of the replay. Its queue is the daemon's
// default, and a row waits as long as it has to.
const (
	storeFile = "results.db"
	fillWait  = time.Minute
	fillQueue = 10_000
)

// measureReplay fills a store and has it read by turns: by a scan in this
// process, and by the command.
func measureReplay(ctx context.Context, rows, repeat int, daemon string, progress io.Writer) (r replay, err error) {
	dir, err := os.MkdirTemp("", "dmarcgate-bench-replay")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprintf(progress, "replay: filling a store with %d rows, load %s\n", rows, machineLoad())
	path := filepath.Join(dir, storeFile)
	if err := fillReplay(ctx, path, rows); err != nil {
		return r, err
	}
	config, err := replayConfig(dir, path)
	if err != nil {
		return r, err
	}
	r.rows = rows
	for i := range repeat {
		fmt.Fprintf(progress, "replay: repetition %d of %d, load %s\n", i+1, repeat, machineLoad())
		scan, err := inTurn(func() (time.Duration, error) { return bareScan(ctx, path, rows) })
		if err != nil {
			return r, err
		}
		used, peak, err := runWhatIf(ctx, daemon, config)
		if err != nil {
			return r, err
		}
		r.scan, r.whatIf = append(r.scan, milliseconds(scan)), append(r.whatIf, milliseconds(used))
		r.peak = max(r.peak, peak)
	}
	return r, nil
}

// inTurn calls f in a goroutine of its own, for that of main is bound to its
// thread and pays with a change of threads for each goroutine that it waits for.
func inTurn(f func() (time.Duration, error)) (d time.Duration, err error) {
	done := make(chan struct{})
	go func() { d, err = f(); close(done) }()
	<-done
	return d, err
}

// fillReplay makes a store of a site that only watches, for some days.
func fillReplay(ctx context.Context, path string, n int) error {
	span := replayDays * 24 * time.Hour
	return fillStore(ctx, path, n, time.Now().Add(-span), span, func(i int) policy.Facts { return storedFacts(i, replayDomains) })
}

// fillStore makes a store of n messages of a site that only watches, spread evenly over a
// span.
func fillStore(ctx context.Context, path string, n int, begin time.Time, span time.Duration, facts func(i int) policy.Facts) error {
	store, err := sqlite.Open(ctx, sqlite.Options{
		Path: path, Durability: sqlite.Async, Wait: fillWait, Queue: fillQueue, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	watch := policy.Settings{Profile: policy.Monitor, Quarantine: policy.Tag}
	digits := sum.Settings(watch)
	for i := range n {
		f := facts(i)
		f.Time = begin.Add(time.Duration(i) * (span / time.Duration(n))).UTC()
		if got := store.Add(results.Row{Facts: f, Decision: watch.Decide(f), Settings: digits}).Outcome; got == results.Dropped {
			return errors.Join(fmt.Errorf("row %d was %s", i, got), store.Close())
		}
	}
	return store.Close()
}

// storedFacts are those of message i, of one of so many domains: of ten, six pass, one is
// forwarded, two are forged, and one has no record.
func storedFacts(i, domains int) policy.Facts {
	org := fmt.Sprintf("d%04d.example", i%domains)
	f := policy.Facts{
		Listener: "mta", QueueID: fmt.Sprintf("%05X%06X", uint32(i)*2654435761%1000000, i%512+0x3a0000),
		Client: netip.AddrFrom4([4]byte{198, 18, byte(i % domains >> 8), byte(i)}), ClientName: "mx." + org, Helo: "mx." + org, MailFrom: "bounce." + org,
		Recipients: []string{fmt.Sprintf("r%d.example", i%20)}, FromField: policy.FromOneMailbox, Version: policy.FactsVersion,
		SPF:  policy.SPF{Result: "pass", Domain: "bounce." + org, Term: "include:_spf.esp.example", Why: "matched include"},
		HELO: policy.SPF{Result: "pass", Domain: "mx." + org, Term: "a", Why: "matched a"},
		DKIM: []policy.DKIM{{Result: "pass", Domain: org, Selector: "r1", Algorithm: "rsa-sha256", B: fmt.Sprintf("%08x", uint32(i)*2654435761), Canon: "relaxed/relaxed", KeyBits: 2048, Why: "signature verified", HeaderOK: true, SignedAt: time.Unix(1_800_000_000, 0).UTC()}},
	}
	a := policy.Author{Domain: org, Org: org, PolicyDomain: org, Source: "author", Record: "v=DMARC1; p=reject", Draw: uint8(i % 100)}
	a.Verdict = dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: true, AlignedDKIM: true, Why: "aligned SPF pass for bounce." + org + ", DKIM pass for " + org}
	if i%10 < 6 {
		f.Authors = []policy.Author{a}
		return f
	}
	f.Seed = uint64(i)*2654435761 + 1
	a.Verdict = dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100, Why: "no aligned SPF or DKIM pass for " + org}
	a.SendsMail.Queried = true
	a.History = policy.History{Messages: 200, DKIMPass: 199}
	switch i % 10 {
	case 6: // forwarded
		relay := fmt.Sprintf("f%03d.example", i%300)
		f.MailFrom, f.SPF, f.DKIM[0].Result = relay, policy.SPF{Result: "pass", Domain: relay, Term: "mx", Why: "matched mx"}, "fail"
		a.Signers = []string{org}
	case 9:
		a.Verdict, a.Record, a.PolicyDomain, a.Source = dmarc.Verdict{Why: "no record"}, "", "", "none"
	default:
		f.SPF.Result, f.DKIM = "fail", nil
	}
	f.Authors = []policy.Author{a}
	return f
}

// replayConfig writes the configuration of the site.
func replayConfig(dir, store string) (string, error) {
	path := filepath.Join(dir, "dmarcgate.toml")
	text := fmt.Sprintf("state_dir = %q\n[store]\npath = %q\n[[listener]]\nname = \"mta\"\naddress = \"unix:%s/milter.sock\"\nprofile = \"monitor\"\n", dir, store, dir)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// bareScan reads every row, and returns the CPU that it took.
func bareScan(ctx context.Context, path string, rows int) (time.Duration, error) {
	runtime.GC()
	begin, err := readClock(processClock(os.Getpid()))
	if err != nil {
		return 0, err
	}
	reader, err := dbread.Open(ctx, path)
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	n := 0
	if err := reader.Scan(ctx, results.Span{}, func(results.Row) error { n++; return nil }); err != nil {
		return 0, err
	}
	if n != rows {
		return 0, fmt.Errorf("a scan read %d rows; want %d", n, rows)
	}
	end, err := readClock(processClock(os.Getpid()))
	return end - begin, err
}

// runWhatIf tries the profile conformant, and returns what the command took of
// CPU and memory.
func runWhatIf(ctx context.Context, daemon, config string) (time.Duration, float64, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, daemon, "what-if", "-c", config, "--profile", "conformant", "--days", fmt.Sprint(replayDays+1), "--json")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	peak, err := watchMemory(cmd.Process.Pid, done)
	if err != nil {
		return 0, 0, fmt.Errorf("what-if: %w\n%s", err, &out)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak, nil
}

// watchMemory returns the most memory that a process has had in use, as seen
// until shortly before its end: what the system tells afterwards is at least
// what the process had that started it (ru_maxrss survives execve).
func watchMemory(pid int, done <-chan error) (peak float64, err error) {
	ticker := time.NewTicker(readyEvery)
	defer ticker.Stop()
	for {
		if p, err := peakMemory(pid); err == nil { // else it has ended
			peak = max(peak, p)
		}
		select {
		case err := <-done:
			return peak, err
		case <-ticker.C:
		}
	}
}

// bounds are what is promised of what-if.
func (r replay) bounds() []bound {
	ratios := make([]float64, len(r.scan))
	for i := range r.scan {
		ratios[i] = r.whatIf[i] / r.scan[i]
	}
	return []bound{
		{title: "CPU of what-if / CPU of a bare scan", atMost: whatIfOver, values: ratios},
		{title: "memory of what-if", atMost: whatIfSpace, values: []float64{r.peak / (1 << 20)}, unit: " MiB"},
	}
}
