package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // the program of Mail::DMARC
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/policy"
	"dmarcgate/report/deliver"
)

// peers is what others take for parts of the same work: smtp-source of Postfix for the
// delivery of mails, and Mail::DMARC of Debian for the documents of a day.
type peers struct {
	mails, rows int
	ours        []float64 // ms to deliver the mails
	source      []float64 // ms of smtp-source to deliver as many of the same size
	documents   []float64 // ms of CPU for the documents of the rows
	perl        []float64 // ms of CPU of Mail::DMARC for them
	notes       []string  // what was not measured, and why
}

// peerDomains is how many domains the rows of Mail::DMARC are about.
const peerDomains = 500

// measurePeers measures by turns. A program that is not installed is no error.
func measurePeers(ctx context.Context, mails, rows, repeat int, progress io.Writer) (p peers, err error) {
	dir, err := os.MkdirTemp("", "dmarcgate-bench-peers")
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p.mails, p.rows = mails, rows
	path := filepath.Join(dir, storeFile)
	facts := func(n int) policy.Facts { return dayFacts(n, false, peerDomains) }
	if err := fillStore(ctx, path, rows, reportDay.Begin, reportDay.End.Sub(reportDay.Begin), facts); err != nil {
		return p, err
	}
	for n := range repeat {
		fmt.Fprintf(progress, "reports: peers, repetition %d of %d, load %s\n", n+1, repeat, machineLoad())
		for _, measure := range []func(context.Context, string) error{p.measureDelivery, p.measurePerl} {
			if err := measure(ctx, path); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// missing notes once that programs are not installed.
func (p *peers) missing(what string, programs ...string) bool {
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if note := fmt.Sprintf("%s was not measured: %s is not installed", what, program); len(p.notes) == 0 || p.notes[len(p.notes)-1] != note {
				p.notes = append(p.notes, note)
			}
			return true
		}
	}
	return false
}

// deliveredText is a mail of the size of most reports.
var deliveredText = []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 105))

// measureDelivery delivers mails to smtp-sink(1) in one session, and has smtp-source(1) do
// the same.
func (p *peers) measureDelivery(ctx context.Context, _ string) error {
	if p.missing("delivery", "/usr/sbin/smtp-sink", "/usr/sbin/smtp-source") {
		return nil
	}
	addr, stop, err := startSink(ctx)
	if err != nil {
		return err
	}
	ours, err := deliverMails(ctx, addr, p.mails)
	if err != nil {
		return errors.Join(err, stop())
	}
	begin := time.Now()
	out, err := exec.CommandContext(ctx, "/usr/sbin/smtp-source", "-d", "-s", "1", "-m", fmt.Sprint(p.mails), "-l", fmt.Sprint(len(deliveredText)),
		"-f", "a@b.example", "-t", "c@d.example", addr).CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("smtp-source: %w\n%s", err, out), stop())
	}
	p.ours, p.source = append(p.ours, milliseconds(ours)), append(p.source, milliseconds(time.Since(begin)))
	return stop()
}

// startSink starts an SMTP server that keeps nothing.
func startSink(ctx context.Context) (addr string, stop func() error, err error) {
	if addr, err = freeAddress(); err != nil {
		return "", nil, err
	}
	args := []string{addr, "100"}
	if os.Geteuid() == 0 {
		args = append([]string{"-u", "postfix"}, args...)
	}
	cmd := exec.Command("/usr/sbin/smtp-sink", args...)
	ended := make(chan struct{})
	if err := childtest.Start(cmd, func(error) { close(ended) }); err != nil {
		return "", nil, err
	}
	stop = func() error {
		err := cmd.Process.Kill()
		<-ended
		return err
	}
	for ctx.Err() == nil {
		if c, err := net.Dial("tcp", addr); err == nil {
			return addr, stop, c.Close()
		}
		time.Sleep(time.Millisecond)
	}
	return "", nil, errors.Join(ctx.Err(), stop())
}

// deliverMails sends mails as the daemon does, one after the other.
func deliverMails(ctx context.Context, addr string, n int) (time.Duration, error) {
	s, err := deliver.New(deliver.Config{Smarthost: addr, Hello: "bench.example", TLS: deliver.None})
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	for range n {
		if o := s.Send(ctx, "a@b.example", "c@d.example", deliveredText); o.Class != deliver.Sent {
			return 0, errors.Join(fmt.Errorf("smtp-sink did not take a mail: %+v", o), s.Close())
		}
	}
	took := time.Since(begin)
	return took, s.Close()
}

//go:embed maildmarc.pl
var mailDMARC string

const perlConfig = `[organization]
domain = bench.example
org_name = Bench
email = dmarc@bench.example
[dns]
timeout = 1
public_suffix_list = /usr/share/publicsuffix/public_suffix_list.dat
[report_store]
backend = SQL
dsn = dbi:SQLite:dbname=%s
auto_save = 0
`

// measurePerl makes the documents of the rows, and has Mail::DMARC do the same with the
// same rows in its own store.
func (p *peers) measurePerl(ctx context.Context, path string) error {
	if p.missing("Mail::DMARC", "/usr/bin/dmarc_send_reports") {
		return nil
	}
	ours, _, err := runDay(ctx, renderCommand, path, peerDomains)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "perl")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "mail-dmarc.ini"), fmt.Appendf(nil, perlConfig, filepath.Join(dir, "reports.sqlite")), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/usr/bin/perl", "-e", mailDMARC) // of Debian, as Mail::DMARC is
	cmd.Dir, cmd.Stdin = dir, perlRows(p.rows)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("Mail::DMARC: %w\n%s", err, &stderr)
	}
	var seconds float64
	var documents, size int
	if _, err := fmt.Sscan(string(out), &seconds, &documents, &size); err != nil || documents < peerDomains*8/10 {
		return fmt.Errorf("Mail::DMARC made %q; want seconds, documents of %d domains and their bytes", out, peerDomains)
	}
	p.documents, p.perl = append(p.documents, milliseconds(ours)), append(p.perl, 1000*seconds)
	return nil
}

// perlRows are the rows as maildmarc.pl reads them.
func perlRows(n int) io.Reader {
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	word := func(pass bool) string {
		if pass {
			return "pass"
		}
		return "fail"
	}
	for i := range n {
		f := dayFacts(i, false, peerDomains)
		a := f.Authors[0]
		if a.PolicyDomain == "" {
			continue
		}
		fmt.Fprintln(w, a.PolicyDomain, f.Client, "none", word(a.Verdict.AlignedDKIM), word(a.Verdict.AlignedSPF), f.MailFrom, "r1")
	}
	_ = w.Flush() // to memory
	return &b
}

// bounds are what is promised beside others.
func (p peers) bounds() []bound {
	delivery, documents := make([]float64, len(p.ours)), make([]float64, len(p.perl))
	for i := range delivery {
		delivery[i] = p.ours[i] / p.source[i]
	}
	for i := range documents {
		documents[i] = p.perl[i] / p.documents[i]
	}
	return []bound{
		{title: fmt.Sprintf("%d mails: time / time of smtp-source", p.mails), atMost: deliveryOver, values: delivery},
		{title: fmt.Sprintf("%d rows: CPU of Mail::DMARC / CPU of the documents", p.rows), least: perlOver, values: documents},
	}
}
