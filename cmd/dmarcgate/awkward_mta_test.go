//go:build mta

package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/mtatest"
)

// Every file in testdata/awkward is a message that DMARC has a hard time with,
// its envelope and DNS, and what each profile must answer; docs/testing.md
// describes the format. All go through one Postfix, one daemon with a listener
// for each profile, and one DNS. A new message needs no Go.
func TestPostfixGivesAwkwardMailTheDocumentedAnswers(t *testing.T) {
	letters := readAwkward(t)
	if len(letters) < 60 {
		t.Fatalf("found %d messages; want at least 60", len(letters))
	}
	s := startAwkward(t, letters)
	for _, l := range letters {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range awkwardProfiles {
				t.Run(p.name, func(t *testing.T) { l.play(t, s, p.name) })
			}
		})
	}
}

// awkwardProfiles are the listeners. Quarantine is another thing in each that
// knows it, so that both are seen.
var awkwardProfiles = []struct{ name, quarantine string }{{"monitor", "tag"}, {"conformant", "tag"}, {"strict", "hold"}}

// Where a file says nothing else, a third party sends its message, for whose own
// domain SPF passes.
var awkwardEnvelope = map[string]string{"client": "203.0.113.66", "helo": "mail.stranger.example", "mail_from": "<a@stranger.example>"}

// awkwardZone is the part of the DNS that no file owns.
const awkwardZone = `
mail.stranger.example. A 203.0.113.66
stranger.example.      TXT "v=spf1 ip4:203.0.113.66 -all"
`

// awkwardTime is how long a message may take to be delivered. On an idle
// machine it takes some milliseconds.
const awkwardTime = 60 * time.Second

// awkwardConfig is whom the profile conformant believes.
const awkwardConfig = `
[conformant]
trusted_sealers = ["sealer-a.example", "sealer-b.example", "sealer-c.example", "sealer-d.example", "sealer-e.example"]
forwarder_networks = ["198.51.100.0/28"]
forwarder_domains = ["forwarder-a.example", "forwarder-b.example", "forwarder-c.example"]
`

// awkward is one file.
type awkward struct {
	*caseFile
	name, zone string
	message    []byte
	want       map[string]awkwardAnswer // by profile
}

// awkwardAnswer is what one profile must do.
type awkwardAnswer struct {
	reply string   // what the reply begins with
	mark  string   // "tagged", "held" or nothing
	parts []string // of our results, or of the text of a refusal
}

func readAwkward(t *testing.T) []*awkward {
	t.Helper()
	files, err := filepath.Glob("testdata/awkward/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var letters []*awkward
	owners := make(map[string]string)
	for _, file := range files {
		l := readLetter(t, file)
		for _, domain := range l.domains() {
			if other := owners[domain]; other != "" && other != l.name {
				t.Fatalf("the zones of %s and %s both have %s; want a domain of its own in each", other, l.name, domain)
			}
			owners[domain] = l.name
		}
		letters = append(letters, l)
	}
	return letters
}

func readLetter(t *testing.T, file string) *awkward {
	t.Helper()
	l := &awkward{caseFile: readCase(t, file), name: strings.TrimSuffix(filepath.Base(file), ".txt"), want: make(map[string]awkwardAnswer)}
	l.defaults(t)
	var keys string
	l.message, keys = l.signed(t)
	l.zone = l.Sections["zone"] + "\n" + keys
	if _, err := dnstest.Parse(l.zone); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for line := range strings.Lines(l.Sections["want"]) {
		profile, text, _ := strings.Cut(strings.TrimSpace(line), ":")
		l.want[profile] = readAnswer(text)
	}
	for _, p := range awkwardProfiles {
		if l.want[p.name].reply == "" || len(l.want) != len(awkwardProfiles) {
			t.Fatalf("%s: want one line for each profile", file)
		}
	}
	return l
}

// defaults fills the envelope, and refuses what is not the message's own: the
// daemon is the same for all.
func (l *awkward) defaults(t *testing.T) {
	t.Helper()
	for _, key := range []string{"profile", "quarantine", "trusted", "dns-timeout", "auth"} {
		if l.Envelope[key] != nil {
			t.Fatalf("%s has an envelope line %q, which has no meaning here", l.name, key)
		}
	}
	if l.Proves == "" || l.Sections["config"]+l.Sections["rules"] != "" {
		t.Fatalf("%s says nothing, or has a configuration of its own", l.name)
	}
	for key, value := range awkwardEnvelope {
		if l.Envelope[key] == nil {
			l.Envelope[key] = []string{value}
		}
	}
}

// readAnswer reads "250 tagged; dmarc=fail header.from=bank.example".
func readAnswer(text string) awkwardAnswer {
	parts := strings.Split(text, ";")
	a := awkwardAnswer{reply: strings.TrimSpace(parts[0])}
	if code, mark, ok := strings.Cut(a.reply, " "); ok && (mark == "tagged" || mark == "held") {
		a.reply, a.mark = code, mark
	}
	for _, p := range parts[1:] {
		a.parts = append(a.parts, strings.TrimSpace(p))
	}
	return a
}

// domains returns the last two labels of every name that the zone speaks of.
func (l *awkward) domains() []string {
	var all []string
	for line := range strings.Lines(l.zone) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		owner := words[0]
		if strings.HasPrefix(owner, "!") {
			owner = words[1]
		}
		labels := strings.Split(strings.TrimSuffix(owner, "."), ".")
		all = append(all, strings.Join(labels[max(0, len(labels)-2):], "."))
	}
	return all
}

// awkwardSite is a site with an SMTP service for each profile.
type awkwardSite struct {
	mtaSite
	services map[string]string // address by profile
}

func startAwkward(t *testing.T, letters []*awkward) *awkwardSite {
	t.Helper()
	zone := awkwardZone
	for _, l := range letters {
		zone += l.zone
	}
	dir := mtatest.Dir(t)
	s := &awkwardSite{services: make(map[string]string)}
	var listeners, services string
	for _, p := range awkwardProfiles {
		socket := "unix:" + filepath.Join(dir, p.name)
		s.services[p.name] = awkwardAddress(t)
		services += fmt.Sprintf("%s inet n - n - 100 smtpd\n  -o smtpd_milters=%s\n", s.services[p.name], socket)
		listeners += fmt.Sprintf("[[listener]]\nname = %q\naddress = %q\nsocket_mode = \"0666\"\nprofile = %q\nquarantine = %q\n",
			p.name, socket, p.name, p.quarantine)
	}
	s.daemon, s.log = startDaemon(t, dnstest.New(t, zone).Addr(), daemontest.Config{
		Profile: "monitor", DNSTimeout: "10s", HasStore: true, Extra: awkwardConfig + listeners})
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{MasterCF: services})
	return s
}

// awkwardAddress returns a free one. On 127.0.0.2 no outgoing connection of
// this host takes the port away before Postfix has it.
func awkwardAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// play sends the message and compares what becomes of it.
func (l *awkward) play(t *testing.T, s *awkwardSite, profile string) {
	t.Helper()
	r, err := l.send(t, s.services[profile])
	if err != nil {
		t.Fatalf("%v\n%s", err, s.postfix.Log())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s\nreply %v", l.Proves, r)
		}
	})
	want := l.want[profile]
	if !strings.HasPrefix(r.String(), want.reply) {
		t.Fatalf("reply = %v; want %s", r, want.reply)
	}
	if !r.OK() {
		contains(t, "reply", r.Text, "DMARC") // RFC 9989, Section 7.2
		contains(t, "reply", r.Text, want.parts...)
		return
	}
	want.check(t, s.fate(t, r.QueueID(), want.mark == "held"))
}

// send sends the message in a session of its own.
func (l *awkward) send(t *testing.T, service string) (mtatest.Reply, error) {
	t.Helper()
	m := l.mail(t, l.message)
	s, err := mtatest.Dial(service)
	if err != nil {
		return mtatest.Reply{}, err
	}
	defer s.Close()
	for _, step := range []func() (mtatest.Reply, error){
		func() (mtatest.Reply, error) { return s.EHLO("harness") },
		func() (mtatest.Reply, error) { return s.XCLIENT(m.Client.String(), m.ClientName, "") },
		func() (mtatest.Reply, error) { return s.EHLO(m.Helo) },
	} {
		if r, err := step(); err != nil || !r.OK() {
			return r, err
		}
	}
	return s.Send(mtatest.Mail{From: m.From, Params: m.Args, Rcpts: m.Rcpts, Data: l.message})
}

// fate returns a message as it was delivered, or as it lies on hold.
func (s *awkwardSite) fate(t *testing.T, qid string, held bool) mtatest.Mail {
	t.Helper()
	if !held {
		ctx, cancel := context.WithTimeout(t.Context(), awkwardTime)
		defer cancel()
		m, err := s.postfix.Delivered(ctx, func(m mtatest.Mail) bool { return m.QueueID() == qid })
		if err != nil {
			t.Fatalf("message %s: %v", qid, err)
		}
		return m
	}
	entries, err := s.postfix.HoldQueue()
	if err != nil || !slices.ContainsFunc(entries, func(e mtatest.QueueEntry) bool { return e.ID == qid }) {
		t.Fatalf("hold queue = %+v, %v; want %s in it", entries, err, qid)
	}
	m, err := s.postfix.Queued(qid)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// check compares what a message that was accepted says.
func (a awkwardAnswer) check(t *testing.T, m mtatest.Mail) {
	t.Helper()
	header := unfolded(string(m.Data))
	results := strings.Split(strings.ReplaceAll(ourResults(t, m), "\r\n", ""), ";")
	for _, part := range a.parts {
		key, value, _ := strings.Cut(part, " ")
		var ok bool
		switch key {
		case "header", "no-header":
			ok = strings.Contains(header, value) == (key == "header")
		case "no":
			ok = !has(results, strings.Fields(value))
		default:
			ok = has(results, strings.Fields(part))
		}
		if !ok {
			t.Errorf("want %s; the header is\n%s", part, header)
		}
	}
	tags := 0
	if a.mark == "tagged" {
		tags = 1
	}
	if got := m.Fields("X-DMARC-Quarantine"); len(got) != tags {
		t.Errorf("tags = %q; want %d", got, tags)
	}
}
