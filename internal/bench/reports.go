package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/policy"
	aggregate "dmarcgate/report"
	"dmarcgate/report/xml"
	"dmarcgate/results"
	"dmarcgate/results/dbread"
)

// The processes that read a day, by their first argument. The second is the store, the
// third the number of domains.
const (
	scanCommand   = "scan-day"   // reads each row
	renderCommand = "render-day" // makes the documents of all domains
)

// The mail of a day: that of reportDomains domains, each with reportClients clients.
const (
	reportDomains = 5000
	reportClients = 9
)

// reportDay is the day of the rows.
var reportDay = aggregate.DayOf(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))

// days is what the documents of two days cost beside a bare scan of the same rows: one of
// usual mail, and one on which no two messages have the same results.
type days struct {
	rows   int
	scans  [2][]float64 // ms of CPU
	render [2][]float64 // ms of CPU
	peak   [2][]float64 // bytes
	record []float64    // µs of CPU to write a record
}

// dayNames are those of the two days.
var dayNames = [2]string{"usual", "wide"}

// measureDays fills a store for each day and has them read by turns, each time by a process
// of its own.
func measureDays(ctx context.Context, rows, repeat int, progress io.Writer) (d days, err error) {
	dir, err := os.MkdirTemp("", "dmarcgate-bench-reports")
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d.rows = rows
	var paths [2]string
	for i, name := range dayNames {
		fmt.Fprintf(progress, "reports: filling a store with %d rows of a %s day, load %s\n", rows, name, machineLoad())
		paths[i] = filepath.Join(dir, name+".db")
		facts := func(n int) policy.Facts { return dayFacts(n, i == 1, reportDomains) }
		if err := fillStore(ctx, paths[i], rows, reportDay.Begin, reportDay.End.Sub(reportDay.Begin), facts); err != nil {
			return d, err
		}
	}
	for n := range repeat {
		fmt.Fprintf(progress, "reports: repetition %d of %d, load %s\n", n+1, repeat, machineLoad())
		for i, path := range paths {
			if err := d.measure(ctx, i, path); err != nil {
				return d, err
			}
		}
		if err := d.measureRecord(); err != nil {
			return d, err
		}
	}
	return d, nil
}

// measure reads a day twice.
func (d *days) measure(ctx context.Context, i int, path string) error {
	scan, _, err := runDay(ctx, scanCommand, path, reportDomains)
	if err != nil {
		return err
	}
	render, peak, err := runDay(ctx, renderCommand, path, reportDomains)
	if err != nil {
		return err
	}
	d.scans[i], d.render[i], d.peak[i] = append(d.scans[i], milliseconds(scan)), append(d.render[i], milliseconds(render)), append(d.peak[i], peak)
	return nil
}

// dayFacts are those of message n of so many domains. On a wide day each has a client of its own.
func dayFacts(n int, wide bool, domains int) policy.Facts {
	f := storedFacts(n, domains)
	client := uint32(n / domains % reportClients)
	if wide {
		client = uint32(n)
	}
	f.Client = netip.AddrFrom4([4]byte{10, byte(client >> 16), byte(client >> 8), byte(client)})
	return f
}

// runDay starts a process that reads a day of so many domains, and returns what it took of
// CPU and memory.
func runDay(ctx context.Context, command, path string, domains int) (time.Duration, float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, self, command, path, strconv.Itoa(domains))
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // as the daemon makes documents
	done := make(chan error, 1)
	if err := childtest.Start(cmd, func(err error) { done <- err }); err != nil {
		return 0, 0, err
	}
	peak, err := watchMemory(cmd.Process.Pid, done)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w\n%s", command, err, &out)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak, nil
}

// readDay is the process. It prints what it has read.
func readDay(ctx context.Context, command, path, domains string, out io.Writer) error {
	want, err := strconv.Atoi(domains)
	if err != nil {
		return err
	}
	reader, err := dbread.Open(ctx, path)
	if err != nil {
		return err
	}
	defer reader.Close()
	rows, documents, records := 0, 0, int64(0)
	scan := func(ctx context.Context, span results.Span, f func(results.Row) error) error {
		return reader.Scan(ctx, span, func(r results.Row) error { rows++; return f(r) })
	}
	if command == scanCommand {
		err = scan(ctx, results.Span{From: reportDay.Begin, To: reportDay.End}, func(results.Row) error { return nil })
	} else {
		_, err = dayMaker(filepath.Dir(path)).Make(ctx, scan, reportDay, func(d xml.Document) error {
			documents, records = documents+1, records+d.Report.Rows
			return nil
		})
	}
	if err == nil && (rows == 0 || command == renderCommand && documents < want/2) {
		err = fmt.Errorf("%s read %d rows and made %d documents; want all of a day", command, rows, documents)
	}
	fmt.Fprintln(out, rows, documents, records)
	return err
}

// dayMaker makes the documents as a site does.
func dayMaker(dir string) *xml.Maker {
	return &xml.Maker{
		Builder: &aggregate.Builder{
			Identity:  aggregate.Identity{Organization: "Bench", Email: "dmarc@bench.example", Submitter: "bench.example"},
			Generator: "dmarcgate bench", Dir: dir,
		},
		Forms: func(*aggregate.Report) []aggregate.Form { return []aggregate.Form{aggregate.RFC9990} },
	}
}

// benchRecords is how many records are written to measure one.
const benchRecords = 200_000

// measureRecord writes one large document, without compression.
func (d *days) measureRecord() error {
	rec := aggregate.Record{
		Source: netip.MustParseAddr("192.0.2.1"), Count: 1, Disposition: aggregate.Pass, DKIM: true, SPF: true, HeaderFrom: "mail.bank.example", EnvelopeFrom: "bounce.bank.example",
		Signatures: []aggregate.Signature{{Domain: "bank.example", Selector: "s1", Result: "pass"}, {Domain: "esp.example", Selector: "s2", Result: "pass"}},
		Checked:    aggregate.SPF{Domain: "bounce.bank.example", Result: "pass"},
	}
	r := aggregate.Report{Identity: dayMaker("").Builder.Identity, PolicyDomain: "bank.example", Period: reportDay, Published: aggregate.Published{FO: 1}}
	r.Records = func(yield func(*aggregate.Record, error) bool) {
		for range benchRecords {
			if !yield(&rec, nil) {
				return
			}
		}
	}
	took, err := inTurn(func() (time.Duration, error) {
		runtime.GC()
		begin, err := readClock(processClock(os.Getpid()))
		if err != nil {
			return 0, err
		}
		if err := xml.Write(io.Discard, r.In(aggregate.RFC9990)); err != nil {
			return 0, err
		}
		end, err := readClock(processClock(os.Getpid()))
		return end - begin, err
	})
	d.record = append(d.record, 1000*milliseconds(took)/benchRecords)
	return err
}

// runReports measures the documents of two days.
func (f *flags) runReports(ctx context.Context, stdout, stderr io.Writer) error {
	begin := time.Now()
	d, err := measureDays(ctx, f.reportRows, f.reportRepeat, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %d rows a day, medians of %d repetitions with (least-most); %v, load %s\n", partReport, d.rows, f.reportRepeat, time.Since(begin).Round(time.Second), machineLoad())
	for i, name := range dayNames {
		fmt.Fprintf(stdout, "%s day: CPU of a bare scan %.0f ms, of the documents %.0f ms\n", name, spreadOf(d.scans[i]).median, spreadOf(d.render[i]).median)
	}
	p, err := measurePeers(ctx, f.peerMails, f.peerRows, f.reportRepeat, stderr)
	if err != nil {
		return err
	}
	for _, note := range p.notes {
		fmt.Fprintln(stdout, note)
	}
	writeBounds(stdout, append(d.bounds(), p.bounds()...))
	return nil
}

// bounds are what is promised of reports.
func (d days) bounds() []bound {
	var out []bound
	for i, over := range []float64{renderOver, wideOver} {
		ratios, peaks := make([]float64, len(d.scans[i])), make([]float64, len(d.scans[i]))
		for n := range ratios {
			ratios[n], peaks[n] = d.render[i][n]/d.scans[i][n], d.peak[i][n]/(1<<20)
		}
		out = append(out,
			bound{title: dayNames[i] + " day: CPU of documents / CPU of a bare scan", atMost: over, values: ratios},
			bound{title: dayNames[i] + " day: memory of documents", atMost: renderSpace, values: peaks, unit: " MiB"})
	}
	return append(out, bound{title: "CPU to write a record", atMost: recordTime, values: d.record, unit: " µs"})
}
