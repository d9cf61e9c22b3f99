package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/policy"
	aggregate "dmarcgate/report"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
)

// Keys of the rows of mail beside reports.
const (
	calmKey   = "rendering_calm"
	madeKey   = "rendering_made"
	calmShare = 0.3 // of the highest rate, at which mail is played
)

// reportsFile is the queue of reports of a daemon that lives in a folder, and keyFile the
// key that it would sign with.
const (
	reportsFile = "reports.db"
	keyFile     = "key.pem"
)

// renderRows measure mail at a part of the highest rate, by a daemon that makes reports
// about yesterday, and by one that makes none.
func renderRows(ctx context.Context, s *stage) ([]*row, error) {
	dir, err := s.makeDir("rendering")
	if err != nil {
		return nil, err
	}
	dns, err := s.serve(wantingZone(s.corpus.zone), loopback)
	if err != nil {
		return nil, err
	}
	day := aggregate.DayOf(time.Now().Add(-queue.Day - queue.CloseAfter))
	facts := func(n int) policy.Facts { return dayFacts(n, false, reportDomains) }
	if err := fillStore(ctx, filepath.Join(dir, storeFile), s.opts.storeRows, day.Begin, queue.Day, facts); err != nil {
		return nil, err
	}
	if err := writeKey(filepath.Join(dir, keyFile)); err != nil {
		return nil, err
	}
	every, err := s.pace(ctx, dir, dns)
	if err != nil {
		return nil, err
	}
	l := load{connections: s.opts.connections, every: every}
	calm := &row{key: calmKey, title: "no reports", measure: func(ctx context.Context) (sample, error) { return s.beside(ctx, dir, dns, l, time.Time{}) }}
	made := &row{key: madeKey, title: "reports are made", off: calm, measure: func(ctx context.Context) (sample, error) { return s.beside(ctx, dir, dns, l, day.Begin) }}
	return []*row{calm, made}, nil
}

// wantingZone has the records of domains that want reports, beside those of the mail.
func wantingZone(mail string) string {
	there := map[string]bool{} // they want reports, too
	for line := range strings.Lines(mail) {
		name, _, _ := strings.Cut(line, " ")
		there[name] = true
	}
	var b strings.Builder
	b.WriteString(mail)
	for i := range reportDomains {
		if there[fmt.Sprintf("_dmarc.d%04d.example.", i)] {
			continue
		}
		fmt.Fprintf(&b, "_dmarc.d%04d.example. TXT \"v=DMARC1; p=reject; rua=mailto:rua@d%04d.example\"\n", i, i)
	}
	return b.String()
}

// writeKey writes a key that no name server publishes: without its identity verified, a
// daemon makes reports and sends none.
func writeKey(path string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// reportsConfig switches reports on. Nothing listens at the smarthost.
func reportsConfig(dir string) string {
	return fmt.Sprintf("[reports]\nsend = true\norganization = \"Bench\"\nemail = \"dmarc@reports.bench.example\"\nsubmitter = \"reports.bench.example\"\nselector = \"r1\"\n"+
		"key_file = %q\nsmarthost = \"127.0.0.1:1\"\ntls = \"none\"\nmin_age = \"1d\"\ndry_run = \"0d\"\n", filepath.Join(dir, keyFile))
}

// pace returns the time between sessions at calmShare of the highest rate.
func (s *stage) pace(ctx context.Context, dir string, dns *dnstest.Server) (time.Duration, error) {
	full, err := s.beside(ctx, dir, dns, s.mixLoad(), time.Time{})
	if err != nil {
		return 0, err
	}
	messages := float64(s.opts.messages) / float64(len(s.corpus.play(s.opts.messages))) // of a session
	return time.Duration(messages / (calmShare * full[rate]) * float64(time.Second)), nil
}

// beside measures mail by a daemon of its own. Unless the day is zero, the daemon makes
// the reports about that day meanwhile.
func (s *stage) beside(ctx context.Context, dir string, dns *dnstest.Server, l load, day time.Time) (out sample, err error) {
	cfg := daemonConfig{durability: "ack", dns: dns.Addr()}
	if !day.IsZero() {
		cfg.more = reportsConfig(dir)
		if err := forgetReports(dir); err != nil {
			return out, err
		}
	}
	d, err := startDaemon(ctx, s.opts.daemon, dir, cfg)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	t := &target{processes: []*process{d.process}, daemon: d, dns: dns}
	if err := s.warm(ctx, t, s.mixLoad()); err != nil {
		return out, err
	}
	if !day.IsZero() {
		if err := d.owe(ctx, day); err != nil {
			return out, err
		}
	}
	before, err := d.counter(madeCounter)
	if err != nil {
		return out, err
	}
	if out, err = s.measure(ctx, t, l); err != nil || day.IsZero() {
		return out, err
	}
	after, err := d.counter(madeCounter)
	if err == nil && after == before {
		err = fmt.Errorf("no report was made while mail came\n%s", d.lastLines())
	}
	return out, err
}

// forgetReports deletes the queue of a daemon.
func forgetReports(dir string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, reportsFile) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// The counters that tell how far a daemon is with reports.
const (
	plannedCounter = "dmarcgate_reports_total"
	madeCounter    = "dmarcgate_report_bytes_total"
)

// enabledNote is the note of a queue that says when sending was switched on
// (RFC 3339).
const enabledNote = "enabled"

// planTime is how long a daemon may take until it has planned a day: its loop turns once a
// minute.
const planTime = 5 * time.Minute

// owe makes reports due from a day on, and waits until they are planned: their documents
// come next.
func (d *daemon) owe(ctx context.Context, day time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	q, err := file.Open(ctx, file.Options{Path: filepath.Join(d.dir, reportsFile), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := errors.Join(q.SetNote(ctx, enabledNote, day.Format(time.RFC3339)), q.Close()); err != nil {
		return err
	}
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		if n, err := d.counter(plannedCounter); err != nil || n >= reportDomains/2 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the daemon planned no reports: %w\n%s", ctx.Err(), d.lastLines())
		}
	}
}

// counter returns the sum of the series of a counter.
func (d *daemon) counter(name string) (sum float64, err error) {
	text, err := d.get("/metrics")
	if err != nil {
		return 0, err
	}
	found := false
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if base, _, _ := strings.Cut(series, "{"); base != name {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+n, true
	}
	if !found {
		return 0, fmt.Errorf("there is no metric %s", name)
	}
	return sum, nil
}

// renderBounds are those of mail beside reports.
func renderBounds(rows []*row) []bound {
	return []bound{{title: fmt.Sprintf("%g of the highest rate, while reports are made: p99 / p99 without", calmShare), atMost: renderWait, values: find(rows, madeKey).column(p99Off, 1)}}
}
