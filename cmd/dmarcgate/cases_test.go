package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/policy"
	"dmarcgate/results"
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
	if len(files) < 40 {
		t.Fatalf("found %d cases; want at least 40", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			c := readCase(t, file)
			c.run(t)
		})
	}
}

// caseFile is one parsed case.
type caseFile struct {
	proves   string // the first paragraph
	sections map[string]string
	envelope map[string][]string
}

func readCase(t *testing.T, file string) *caseFile {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &caseFile{sections: make(map[string]string), envelope: make(map[string][]string)}
	section := ""
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(line, " --\n") {
			section = strings.TrimSuffix(name, " --\n")
			if !slices.Contains([]string{"config", "rules", "envelope", "zone", "sign", "message", "want"}, section) {
				t.Fatalf("%s: unknown section %q", file, section)
			}
			continue
		}
		c.sections[section] += line
	}
	c.proves = strings.TrimSpace(c.sections[""])
	if c.proves == "" || c.sections["want"] == "" {
		t.Fatalf("%s: a case says what it proves and what it wants", file)
	}
	for line := range strings.Lines(c.sections["envelope"]) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if key != "" {
			c.envelope[key] = append(c.envelope[key], strings.TrimSpace(value))
		}
	}
	return c
}

// one returns the last value of an envelope key.
func (c *caseFile) one(key, otherwise string) string {
	if v := c.envelope[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return otherwise
}

func (c *caseFile) run(t *testing.T) {
	message, keys := c.signed(t)
	dns := dnstest.New(t, c.sections["zone"]+keys)
	d, log := startDaemon(t, dns.Addr(), testConfig{
		profile: c.one("profile", "strict"), quarantine: c.one("quarantine", "tag"), trusted: c.one("trusted", "192.0.2.255"),
		extra: c.sections["config"], rules: c.sections["rules"],
	})
	client, err := miltertest.Dial(d.gates[0].listener.Address.String(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	mail := c.mail(t, message)
	res, err := client.Send(mail)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := d.store.ByQueueID(context.Background(), mail.QueueID)
	if err != nil || len(rows) != 1 {
		t.Fatalf("rows in the store = %d, %v; want one", len(rows), err)
	}
	w := witness{row: rows[0], res: res, log: log.String(), final: string(miltertest.Apply(mail.Message, res))}
	for line := range strings.Lines(c.sections["want"]) {
		if line = strings.TrimSpace(line); line != "" {
			w.check(t, line)
		}
	}
	if t.Failed() {
		t.Logf("%s\nfacts %+v\ndecision %+v\nlog %s\nfinal message:\n%s", c.proves, w.row.Facts, w.row.Decision, w.log, w.final)
	}
}

func (c *caseFile) mail(t *testing.T, message []byte) miltertest.Mail {
	t.Helper()
	trim := func(s string) string { return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">") }
	m := miltertest.Mail{
		ClientName: c.one("name", ""), Helo: c.one("helo", "[192.0.2.10]"), From: trim(c.one("mail", "<>")),
		Args: c.envelope["args"], QueueID: "4XyZ1", Auth: c.one("auth", ""), Message: message,
	}
	for _, rcpt := range append(c.envelope["rcpt"], "<user@receiver.example>") {
		m.Rcpts = append(m.Rcpts, trim(rcpt))
	}
	if addr := c.one("client", "192.0.2.10"); addr != "none" {
		var err error
		if m.Client, err = netip.ParseAddr(addr); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// testKeys are made once; making an RSA key takes long under the race
// detector.
var testKeys = sync.OnceValues(func() (map[string]dkimtest.Key, error) {
	r, err := dkimtest.RSA(1024)
	if err != nil {
		return nil, err
	}
	e, err := dkimtest.Ed25519()
	return map[string]dkimtest.Key{"rsa": r, "ed25519": e}, err
})

// signed returns the message with the signatures of the sign section, the
// last line on top, and the zone text of their keys. Lines are words: d=, s=,
// a=rsa or a=ed25519, key=none for a signature without a key record, break=
// text that is put at the end of the body after signing.
func (c *caseFile) signed(t *testing.T) (message []byte, zone string) {
	t.Helper()
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	message = []byte(c.sections["message"])
	for line := range strings.Lines(c.sections["sign"]) {
		w := map[string]string{"s": "s1", "a": "rsa"}
		for _, word := range strings.Fields(line) {
			name, value, _ := strings.Cut(word, "=")
			w[name] = value
		}
		if w["d"] == "" {
			continue
		}
		if message, err = keys[w["a"]].Sign(message, w["d"], w["s"]); err != nil {
			t.Fatal(err)
		}
		if w["key"] != "none" {
			zone += keys[w["a"]].Zone(w["s"], w["d"])
		}
		message = append(message, w["break"]...)
	}
	return message, zone
}

// testConfig is what tests vary of the configuration.
type testConfig struct {
	profile, quarantine, trusted string
	address                      string // of the socket; one of the test's own by default
	mode                         string // of the socket, "0660" by default
	dnsTimeout                   string // of one query and of one lookup; "1s" and "2s" by default
	extra                        string // TOML: top-level keys first, then tables
	rules                        string // TOML: a rule file
}

// startDaemon runs a daemon with one listener in a directory of its own.
func startDaemon(t *testing.T, dns string, c testConfig) (*daemon, *syncBuffer) {
	t.Helper()
	dir, err := os.MkdirTemp("", "dg") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // the MTA's user must get to the socket
		t.Fatal(err)
	}
	top, tables := cutTables(c.extra)
	if c.rules != "" {
		rules := filepath.Join(dir, "rules")
		if err := os.Mkdir(rules, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(rules, "case.toml"), []byte(c.rules), 0o644); err != nil {
			t.Fatal(err)
		}
		top += fmt.Sprintf("rules_dir = %q\n", rules)
	}
	path := filepath.Join(dir, "dmarcgate.toml")
	text := fmt.Sprintf(`
authserv_id = "mx.receiver.example"
state_dir = %q
%s
[[listener]]
name = "mta"
address = %q
socket_mode = %q
profile = %q
quarantine = %q
trusted_networks = [%q]
[admin]
listen = "127.0.0.1:0"
[dns]
servers = [%q]
query_timeout = %q
timeout = %q
%s`, dir, top, cmp.Or(c.address, "unix:"+dir+"/milter.sock"), cmp.Or(c.mode, "0660"), c.profile, c.quarantine, c.trusted, dns, cmp.Or(c.dnsTimeout, "1s"), cmp.Or(c.dnsTimeout, "2s"), tables)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	in, err := readInputs(path)
	if err != nil {
		t.Fatal(err)
	}
	log := &syncBuffer{}
	d, err := newDaemon(context.Background(), path, in, newLogger(io.MultiWriter(log, t.Output()), "logfmt", "info"))
	if err != nil {
		t.Fatal(err)
	}
	d.start(context.Background())
	t.Cleanup(func() { d.shutdown(context.Background()) })
	return d, log
}

// cutTables cuts TOML before its first table.
func cutTables(text string) (top, tables string) {
	i := strings.Index("\n"+text, "\n[")
	if i < 0 {
		return text, ""
	}
	return text[:i], text[i:]
}

// syncBuffer is a buffer that several goroutines may write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// witness is everything that was seen of a message.
type witness struct {
	row   results.Row
	res   miltertest.Result
	log   string
	final string
}

// check compares one line of the want section.
func (w witness) check(t *testing.T, line string) {
	t.Helper()
	key, value, _ := strings.Cut(line, " ")
	value = strings.TrimSpace(value)
	d, f := w.row.Decision, w.row.Facts
	equal := func(what, got string) {
		t.Helper()
		if got != value {
			t.Errorf("%s = %q; want %q", what, got, value)
		}
	}
	switch {
	case strings.HasPrefix(key, "spf=") || strings.HasPrefix(key, "dkim=") || strings.HasPrefix(key, "dmarc="):
		w.result(t, strings.Fields(line))
	case key == "disposition":
		equal("disposition", d.Disposition.String())
	case key == "action":
		equal("action", d.Action.String())
	case key == "override":
		equal("override", orNone(string(d.Override)))
	case key == "skip":
		equal("skip", string(f.Skip))
	case key == "client":
		equal("client", f.Client.String())
	case key == "rule":
		equal("rule", orNone(d.Rule))
	case key == "shadow":
		var shadow []string
		for _, s := range d.Shadow {
			shadow = append(shadow, s.Rule+" "+s.Action.String())
		}
		equal("shadow", strings.Join(shadow, ", "))
	case key == "from":
		equal("From", string(f.From))
	case key == "helo":
		equal("SPF of HELO", f.HELO.Result)
	case key == "reply":
		if got := replyLine(w.res); !strings.HasPrefix(got, value) {
			t.Errorf("reply = %q; want %q at its start", got, value)
		}
	case key == "text":
		if !strings.Contains(w.res.Text, value) {
			t.Errorf("reply text = %q; want %q in it", w.res.Text, value)
		}
	case key == "reason":
		if !strings.Contains(d.Reason, value) {
			t.Errorf("reason = %q; want %q in it", d.Reason, value)
		}
	case key == "header":
		if !strings.Contains(unfolded(w.final), value) {
			t.Errorf("the message lacks %q", value)
		}
	case key == "no-header":
		if strings.Contains(unfolded(w.final), value) {
			t.Errorf("the message has %q", value)
		}
	case key == "held":
		if reason, ok := w.res.Quarantined(); !ok || !strings.Contains(reason, value) {
			t.Errorf("quarantine = %q, %v; want %q in it", reason, ok, value)
		}
	case key == "state":
		equal("state of the row", [...]string{"answered", "deferred", "unanswered"}[w.row.State])
	case key == "log":
		if !strings.Contains(w.log, value) {
			t.Errorf("the log lacks %q", value)
		}
	default:
		t.Errorf("want line %q is not understood", line)
	}
}

func replyLine(r miltertest.Result) string {
	if r.Action != miltertest.ReplyCode {
		return r.Action.String()
	}
	return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text)
}

// unfolded returns the header of a message with every field on one line.
func unfolded(message string) string {
	message = strings.ReplaceAll(message, "\r\n", "\n")
	header, _, _ := strings.Cut(message, "\n\n")
	return strings.NewReplacer("\n ", " ", "\n\t", " ").Replace(header)
}

// result looks for one method's result with all the words in the row, and in
// the Authentication-Results field when the message was delivered with one.
func (w witness) result(t *testing.T, words []string) {
	t.Helper()
	if !has(rowResults(w.row), words) {
		t.Errorf("the row has %q; want one with %q", rowResults(w.row), words)
	}
	for line := range strings.Lines(unfolded(w.final)) {
		if ours, ok := strings.CutPrefix(line, "Authentication-Results: mx.receiver.example;"); ok {
			inField := slices.DeleteFunc(slices.Clone(words), func(s string) bool { return strings.HasPrefix(s, "p=") })
			if got := strings.Split(ours, ";"); !has(got, inField) {
				t.Errorf("Authentication-Results has %q; want one with %q", got, inField)
			}
			return
		}
	}
	if w.row.Facts.Skip == policy.Evaluated && w.res.Action == miltertest.Continue {
		t.Errorf("a delivered message has no Authentication-Results of ours on top:\n%s", w.final)
	}
}

func has(results []string, words []string) bool {
	return slices.ContainsFunc(results, func(r string) bool {
		fields := strings.Fields(r)
		return !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(fields, w) })
	})
}

// rowResults writes what the row says in the words of Authentication-Results.
func rowResults(r results.Row) []string {
	f := r.Facts
	identity := "smtp.mailfrom="
	if f.NullPath {
		identity = "smtp.helo="
	}
	out := []string{"spf=" + f.SPF.Result + " " + identity + f.SPF.Domain}
	if len(f.DKIM) == 0 {
		out = append(out, "dkim=none")
	}
	for _, s := range f.DKIM {
		out = append(out, fmt.Sprintf("dkim=%s header.d=%s header.s=%s header.a=%s", s.Result, s.Domain, s.Selector, s.Algorithm))
	}
	for i, a := range f.Authors {
		out = append(out, fmt.Sprintf("dmarc=%s p=%s policy.dmarc=%s header.from=%s",
			a.Verdict.Status, a.Verdict.Policy, r.Decision.Effective[i].Applied, a.Domain))
	}
	return out
}
