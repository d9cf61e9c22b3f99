package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dmarcgate/explain"
	"dmarcgate/explain/casefile"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

// Every file in testdata/cases is a message with its envelope, its DNS and
// what must become of it; docs/testing.md describes the format. Each goes
// through the whole daemon: milter socket, checks, DNS over loopback, store,
// log. A new case needs no Go.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 300 {
		t.Fatalf("found %d cases; want at least 300", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			c := readCase(t, file)
			c.run(t)
		})
	}
}

// Whoever looks for a section of an RFC finds its cases in the list.
func TestCasesAreInIndex(t *testing.T) {
	index, err := os.ReadFile("testdata/cases/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := regexp.MustCompile(`(?m)^\| \[([^]]+)\]\(([^)]+)\.txt\) \| \S`).FindAllStringSubmatch(string(index), -1)
	times := make(map[string]int)
	for _, m := range listed {
		times[m[1]]++
		if m[1] != m[2] {
			t.Errorf("README.md calls %s.txt %q", m[2], m[1])
		}
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if times[name] != 1 {
			t.Errorf("README.md lists %s %d times; want once", name, times[name])
		}
		delete(times, name)
	}
	for name := range times {
		t.Errorf("README.md lists %s, and there is no such file", name)
	}
}

func TestCasesHaveTitleAndExpectation(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	sentence := regexp.MustCompile(`^\S[^\n]{20,200}\.\n\n-- `)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !sentence.Match(text) {
			t.Errorf("%s does not begin with a sentence, or two, that say what it proves", file)
		}
		if _, want, _ := strings.Cut(string(text), "\n-- want --\n"); strings.TrimSpace(want) == "" {
			t.Errorf("%s wants nothing", file)
		}
	}
}

// caseFile is one case, which can be run.
type caseFile struct{ *casefile.Case }

func readCase(t *testing.T, file string) *caseFile {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := casefile.Read(string(text), func(name, form string) (string, error) {
		if p := testKey(t, name).Public(form); p != "" {
			return p, nil
		}
		return "", errors.New("the key has no such form")
	})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return &caseFile{c}
}

func (c *caseFile) run(t *testing.T) {
	t.Helper()
	w := c.play(t)
	for line := range strings.Lines(c.Sections["want"]) {
		if line = strings.TrimSpace(line); line != "" {
			w.check(t, line)
		}
	}
	if t.Failed() {
		t.Logf("%s\nfacts %+v\ndecision %+v\nlog %s\nfinal message:\n%s", c.Proves, w.row.Facts, w.row.Decision, w.log, w.final)
	}
}

// play sends the message through a daemon.
func (c *caseFile) play(t *testing.T) witness {
	t.Helper()
	message, keys := c.signed(t)
	dns := dnstest.New(t, c.Sections["zone"]+keys)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{
		Profile: c.One("profile", "strict"), Quarantine: c.One("quarantine", "tag"), Trusted: c.One("trusted", "192.0.2.255"),
		Extra: c.Sections["config"], Rules: c.Sections["rules"], DNSTimeout: c.One("dns-timeout", ""), HasStore: true, Unnamed: c.One("mta", "") != ""})
	press(d, dns.Zone)
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	metricsBefore := metricsText(t, d)
	mail := c.mail(t, message)
	res, err := client.Send(mail)
	if err != nil {
		t.Fatal(err)
	}
	checkLabels(t, d, metricsBefore, dns.Addr())
	rows, err := d.Store().ByQueueID(context.Background(), mail.QueueID)
	if err != nil || len(rows) != 1 {
		t.Fatalf("rows in the store = %d, %v; want one", len(rows), err)
	}
	return witness{row: rows[0], res: res, queries: dns.Queries(), log: log.String(), final: string(miltertest.Apply(mail.Message, res))}
}

func (c *caseFile) mail(t *testing.T, message []byte) miltertest.Mail {
	t.Helper()
	trim := func(s string) string { return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">") }
	m := miltertest.Mail{
		ClientName: c.One("name", ""), Helo: c.One("helo", "[192.0.2.10]"), From: trim(c.One("mail_from", casefile.DefaultMail)),
		Args: c.Envelope["args"], QueueID: "4XyZ1", Auth: c.One("auth", ""), MTA: c.One("mta", ""), Message: message,
	}
	for _, rcpt := range c.Recipients() {
		m.Rcpts = append(m.Rcpts, trim(rcpt))
	}
	if c.One("tls", "no") == "yes" {
		m.TLS = explain.SomeTLS
	}
	if addr := c.One("client", "192.0.2.10"); addr != "none" {
		var err error
		if m.Client, err = netip.ParseAddr(addr); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestCasesCoverEdgeCases(t *testing.T) {
	page, err := os.ReadFile("../../docs/edge-cases.md")
	if err != nil {
		t.Fatal(err)
	}
	const edges = 26
	for n := 1; n <= edges; n++ {
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %d \|.*$`, n)).Find(page)
		links := regexp.MustCompile(`\]\(([^)]+)\)`).FindAllSubmatch(row, -1)
		if len(links) == 0 {
			t.Errorf("docs/edge-cases.md shows nothing for edge %d", n)
		}
		for _, l := range links {
			if _, err := os.Stat(filepath.Join("../../docs", string(l[1]))); err != nil {
				t.Errorf("edge %d: %v", n, err)
			}
		}
	}
}
