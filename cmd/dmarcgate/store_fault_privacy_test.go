package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

// secret begins every local part, name, subject and piece of a body that these
// messages have, and nothing else has it. A number tells them apart.
const secret = "zqsecret"

// privacyZone has domains whose checks pass, fail, ask for the local part and
// break on the way.
const privacyZone = `
.                     NS  ns.example.
good.example.         TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.good.example.  TXT "v=DMARC1; p=reject"
bad.example.          TXT "v=spf1 -all exp=why.bad.example"
why.bad.example.      TXT "%{s} was sent from %{i}, and %{l} of %{o} does not do that"
_dmarc.bad.example.   TXT "v=DMARC1; p=quarantine"
macro.example.        TXT "v=spf1 exists:%{l}.users.macro.example include:%{l-}.more.macro.example redirect=%{l}.last.macro.example"
*.users.macro.example. A 127.0.0.2
_dmarc.macro.example. TXT "v=DMARC1; p=reject"
lame.example.         TXT "v=spf1 exists:%{l}.users.lame.example -all"
!servfail *.users.lame.example
_dmarc.lame.example.  TXT "v=DMARC1; p=reject"
wrong.example.        TXT "v=spf1 a:%{l}..wrong.example include:%{s} -all"
_dmarc.wrong.example. TXT "v=DMARC1; p=rejekt; rua=mailto:"
told.example.         TXT "v=spf1 include:@@@told.example contact=mailto:@@@told.example -all"
_dmarc.told.example.  TXT "v=DMARC1; p=reject; sp=none; rua=mailto:@@@told.example,mailto:@@@reports.example!10m; ruf=mailto:@@@told.example; fo=1"
typo.example.         TXT "v=spf1 a:@@@typo.example:@@ -all"
_dmarc.typo.example.  TXT "v=DMARC1; p=quarantine; ruaa=mailto:@@@typo.example; contact=@@@typo.example; rua=@@@typo.example"
broken.example.       TXT "v=spf1 exists:%{l}@@@broken.example -all"
_dmarc.broken.example. TXT "v=DMARC1; @@@broken.example; p=@@@broken.example; rua=mailto:@@@broken.example mailto:@@; =@@; sp=@@"
twice.example.        TXT "v=spf1 redirect=@@@twice.example"
_dmarc.twice.example. TXT "v=DMARC1; p=none; rua=mailto:@@@twice.example"
_dmarc.twice.example. TXT "v=DMARC1; p=reject; rua=mailto:@@@twice.example"
quoted.example.       TXT "v=spf1 ip4:@@@quoted.example ?all"
_dmarc.quoted.example. TXT "v=DMARC1; p=reject; rua=mailto:%22@@%20@@%22@quoted.example; rua=mailto:@@@quoted.example; p=@@"
s1._domainkey.told.example. TXT "v=DKIM1; n=@@@told.example; g=@@; p=@@"
!any
`

// secrets numbers what must not be found.
type secrets struct{ n int }

// next returns text that occurs once.
func (s *secrets) next() string {
	s.n++
	return fmt.Sprintf("%s%d", secret, s.n)
}

// fill puts a secret of its own in place of each "@@".
func (s *secrets) fill(text string) string {
	for strings.Contains(text, "@@") {
		text = strings.Replace(text, "@@", s.next(), 1)
	}
	return text
}

// zoneSecrets are those of records: their numbers begin where those of messages
// never come.
type zoneSecrets struct{ secrets }

func (z *zoneSecrets) fill(zone string) string {
	z.n = 1_000_000
	return z.secrets.fill(zone)
}

// secretMails are messages in all ways in which a gate can look at one. In
// these texts, @@ is a secret.
var secretMails = []struct{ from, header string }{
	{"@@@good.example", "From: @@ <@@@good.example>\r\nReply-To: @@@good.example\r\nMessage-ID: <@@@good.example>\r\nSubject: @@"},
	{"@@@bad.example", "From: @@@bad.example\r\nSubject: =?utf-8?q?@@?=\r\nTo: @@ <@@@receiver.example>, @@@other.example\r\nCc: (@@) @@@receiver.example"},
	{"@@@macro.example", "From: @@@macro.example\r\nSubject: @@"},
	{"@@@lame.example", "From: @@@lame.example\r\nSubject: @@"},
	{"@@@wrong.example", "From: @@@wrong.example\r\nSubject: @@"},
	{"", "From: @@@good.example\r\nSubject: @@"},
	{"\"@@ @@\"@good.example", "From: \"@@ @@\"@good.example"},
	{"@@", "From: @@\r\nSubject: no domain"},
	{"@@@", "From: @@@"},
	{"@relay.example:@@@good.example", "From: <@relay.example:@@@good.example>"},
	{"@@@[192.0.2.10]", "From: @@@[192.0.2.10]"},
	{"@@@@@@good.example", "From: @@@@@@good.example"},
	{"@@=good.example@bad.example", "From: @@%good.example@bad.example"},
	{"a@good.example", "From: @@: @@@good.example, @@ <@@@bad.example>;"},
	{"a@good.example", "From: undisclosed @@:;\r\nSender: @@@good.example"},
	{"a@good.example", "From: @@@good.example, @@@bad.example, @@@macro.example, @@@lame.example, @@@wrong.example, @@@sixth.example"},
	{"a@good.example", "From: @@@good.example\r\nFrom: @@@bad.example"},
	{"a@good.example", "Subject: @@, and no From field"},
	{"a@good.example", "From: =?utf-8?q?@@?=@good.example\r\nSubject: @@"},
	{"a@good.example", "From: <@@@good.example\r\nSubject: @@"},
	{"a@good.example", "Authentication-Results: mx.receiver.example; spf=pass smtp.mailfrom=@@@good.example; @@\r\nFrom: @@@good.example"},
	{"a@good.example", "Authentication-Results: @@@mx.receiver.example (@@; @@\r\nFrom: @@@good.example"},
	{"a@good.example", "DKIM-Signature: v=1; a=rsa-sha256; d=good.example; s=s1; i=@@@good.example; h=from:subject; z=Subject:@@; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=eA==\r\nFrom: @@@good.example"},
	{"@@@told.example", "From: @@@told.example"},
	{"@@@told.example", "DKIM-Signature: v=1; a=rsa-sha256; d=told.example; s=s1; i=@@@told.example; h=from:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=eA==\r\nFrom: @@@sub.told.example"},
	{"@@@typo.example", "From: @@@typo.example"},
	{"@@@broken.example", "From: @@@broken.example"},
	{"@@@twice.example", "From: @@@twice.example"},
	{"@@@quoted.example", "From: @@@quoted.example"},
	{"a@good.example", "List-Id: <@@@list.good.example>\r\nFrom: a@good.example"},
	{"a@good.example", "DKIM-Signature: v=1; a=@@; d=@@; @@ s=s1; i=@@; h=from; bh=@@; b=@@\r\nFrom: @@@good.example"},
	{"a@good.example", "ARC-Authentication-Results: i=1; mx.other.example; spf=fail smtp.mailfrom=@@@bad.example (@@)\r\nARC-Message-Signature: i=1; @@\r\nARC-Seal: i=1; cv=none; @@\r\nFrom: @@@good.example"},
	{"a@good.example", "List-Id: @@ <list.good.example>\r\nReceived: from @@ (@@ [192.0.2.1]) by mx.receiver.example for <@@@receiver.example>; @@\r\nFrom: @@@good.example"},
	{"a@good.example", plantedField("start") + "From: @@@good.example\r\nComments: @@"},
	{"a@good.example", plantedField("finish") + "From: @@@good.example\r\nComments: @@"},
	{"a@good.example", plantedField("spf") + "From: @@@good.example\r\nComments: @@"},
	{"a@good.example", plantedField("dmarc") + "From: @@@good.example\r\nComments: @@"},
	{"a@good.example", plantedField("sent") + "From: @@@good.example\r\nComments: @@"},
}

func plantedField(stage string) string { return "Subject: " + plantedSubject + stage + "\r\n" }

// sendSecrets sends all messages, whatever the answers, and some that end in
// the middle. It returns how many secrets there are.
func sendSecrets(t *testing.T, h *host) int {
	t.Helper()
	var s secrets
	for i, m := range secretMails {
		for client, user := range map[netip.Addr]string{demoShop: "", demoThirdParty: "", demoSubmitter: "@@@receiver.example"} {
			c := h.session()
			helo := "mx.good.example"
			if i%5 == 0 {
				helo = s.fill("@@@mx.good.example")
			}
			_, err := c.Send(miltertest.Mail{
				Client: client, Helo: helo, From: s.fill(m.from), Args: []string{s.fill("ENVID=@@"), "BODY=8BITMIME"},
				Rcpts: []string{s.fill("@@@receiver.example"), s.fill("@@"), s.fill(`"@@ @@"@Receiver.example`)}, QueueID: fmt.Sprintf("4Xmail%d", i), Auth: s.fill(user),
				Message: []byte(s.fill(m.header + "\r\nX-Other: @@\r\n\r\n@@\r\n--@@\r\n@@@good.example\r\n")),
			})
			if err != nil {
				t.Errorf("message %q: %v", m.header, err)
			}
			c.Close()
		}
	}
	sendBroken(t, h, &s)
	return s.n
}

// sendBroken sends what no MTA sends, with secrets in it: the log tells of
// each.
func sendBroken(t *testing.T, h *host, s *secrets) {
	t.Helper()
	for _, text := range []string{"M<@@@good.example>", "R@@", "LSubject @@", "Dj\x00@@", "@@", "B@@", "C@@", "H@@"} {
		c := h.session()
		if err := beginMail(c, "good.example", "4Xbroken"); err != nil {
			t.Fatal(err)
		}
		frame := s.fill(text)
		for range 3 { // in the middle of a message, and out of turn
			if err := c.WriteFrame(frame[0], []byte(frame[1:])); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Flush() // the daemon may have hung up
		c.Close()
	}
}

// follower reads the live decisions of the control socket as they come.
type follower struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex // guards lines
	lines  []string
}

// control asks the control socket.
func (h *host) control(ctx context.Context, path string) (*http.Response, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(h.dir, "control.sock"))
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://control"+path, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

func (h *host) follow() *follower {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	res, err := h.control(ctx, "/tail")
	if err != nil {
		cancel()
		h.t.Fatal(err)
	}
	f := &follower{cancel: cancel}
	f.wg.Go(func() {
		defer res.Body.Close()
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			f.mu.Lock()
			f.lines = append(f.lines, lines.Text())
			f.mu.Unlock()
		}
	})
	return f
}

func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.lines)
}

// stop returns what was read.
func (f *follower) stop() string {
	f.cancel()
	f.wg.Wait()
	return strings.Join(f.lines, "\n")
}

// privateHost is a host whose daemon tells and keeps as much as it can.
func privateHost(t *testing.T) *host {
	dns := dnstest.New(t, new(zoneSecrets).fill(privacyZone))
	return newHost(t, hostConfig{dns: dns.Addr(), queryTimeout: "200ms", timeout: "500ms",
		extra: "[log]\nlevel = \"debug\"\n[discovery]\ncompare = true\n"})
}

// No local part, name, subject or piece of a body that a message had is in what
// the daemon keeps or tells: not in any file of its state, the write-ahead log
// included, not in its log, its metrics or its control socket.
func TestPrivacyOfStoreAndOutput(t *testing.T) {
	h := privateHost(t)
	p := h.start()
	tail := h.follow()
	n := sendSecrets(t, h)
	p.awaitMetric("to be 0", func(v float64) bool { return v == 0 }, "dmarcgate_milter_sessions_active")
	written := p.metric("dmarcgate_store_records_total", `outcome="written"`)
	daemontest.Eventually(t, "all rows in the tail", func() bool { return tail.count() >= int(written) })
	text, err := p.fetch("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	mustNotTell(t, "the metrics page", text, "dmarcgate_")
	mustNotTell(t, "the status", h.status(), `"pid"`)
	mustNotTell(t, "the tail", tail.stop(), "good.example")
	mustNotTellFiles(t, h, "while the daemon runs")
	p.kill() // what it had not moved into the file stays in the write-ahead log
	mustNotTellFiles(t, h, "after the daemon was killed")
	t.Logf("%d rows of messages with %d secrets", int(written), n)
}

func (h *host) status() string {
	h.t.Helper()
	res, err := h.control(context.Background(), "/status")
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	var all strings.Builder
	if err := res.Write(&all); err != nil {
		h.t.Fatal(err)
	}
	return all.String()
}

// mustNotTellFiles searches every file of the daemon's state but its
// configuration.
func mustNotTellFiles(t *testing.T, h *host, when string) {
	t.Helper()
	err := filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !d.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var known string
		switch d.Name() {
		case "results.db-wal", "log.1":
			known = "good.example" // or else the search sees nothing
		}
		mustNotTell(t, d.Name()+" "+when, string(text), known)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// mustNotTell searches a text for secrets, and for something that must be in
// it.
func mustNotTell(t *testing.T, what, text, known string) {
	t.Helper()
	if !strings.Contains(text, known) {
		t.Errorf("%s does not have %q, which it must: the search is blind", what, known)
	}
	low := strings.ToLower(text)
	for at, shown := 0, 0; shown < 5; shown++ {
		i := strings.Index(low[at:], secret)
		if i < 0 {
			return
		}
		at += i
		t.Errorf("%s has a secret: …%q…", what, text[max(0, at-160):min(len(text), at+60)])
		at += len(secret)
	}
}
