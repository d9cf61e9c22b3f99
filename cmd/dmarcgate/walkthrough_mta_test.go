//go:build mta

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/mtatest"
)

// docs/walkthrough.md is a test. Its commands run as they stand there, against a
// daemon with Postfix in front, and must print what the page shows. What else
// happens in the story stands in comments of the page, which readers do not see:
//
//	<!-- mail: WHO N, CODE [ID...] -->   N messages arrive, and get a reply
//	                                     of that code; the page calls the
//	                                     first of them by these queue ids
//	<!-- today: DAY -->                  which day it is in the story
//	<!-- days: N -->                     so many days go by
//
// What differs each time is made alike on both sides: queue ids, paths, days
// (the story has its own today), times, hashes, and the width of columns. A line
// "..." stands for any number of lines, and " ..." for the rest of a line.

// walkthroughZone is the DNS of the story; the key record is added.
const walkthroughZone = `
.                       NS  ns.example.
partner.example.        TXT "v=spf1 ip4:192.0.2.0/28 -all"
_dmarc.partner.example. TXT "v=DMARC1; p=reject; rua=mailto:dmarc@partner.example"
forwarder.example.      TXT "v=spf1 ip4:198.51.100.0/24 -all"
stranger.example.       TXT "v=spf1 ip4:203.0.113.0/24 -all"
alumni.example.         TXT "v=spf1 ip4:198.51.100.128/25 -all"
!any
`

// alumniFriends write to alumni and do not sign; alumniSigners do.
var (
	alumniFriends = manyDomains("friend", 11)
	alumniSigners = manyDomains("signer", 3)
)

func manyDomains(name string, n int) (domains []string) {
	for i := range n {
		domains = append(domains, fmt.Sprintf("%s%d.example", name, i))
	}
	return domains
}

// The hosts of the story.
var (
	partnerHost   = mtatest.Client{Addr: "192.0.2.10", Name: "mail.partner.example", Helo: "mail.partner.example"}
	forwarderHost = mtatest.Client{Addr: "198.51.100.20", Name: "[UNAVAILABLE]", Helo: "mx.forwarder.example"}
	alumniHost    = mtatest.Client{Addr: "198.51.100.130", Name: "[UNAVAILABLE]", Helo: "mx.alumni.example"}
	spooferHost   = mtatest.Client{Addr: "203.0.113.66", Name: "[UNAVAILABLE]", Helo: "mx.stranger.example"}
)

// walk is the story while it is told.
type walk struct {
	*host
	*process
	postfix *mtatest.Postfix
	key     dkimtest.Key
	names   map[string]string // queue id → what the page calls it
	shift   time.Duration     // from our days to those of the story
	sent    int
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{key: keys["rsa"], names: make(map[string]string)}
	zone := walkthroughZone + w.key.Zone("s1", "partner.example")
	for _, d := range append(slices.Clone(alumniFriends), alumniSigners...) {
		zone += fmt.Sprintf("_dmarc.%s. TXT \"v=DMARC1; p=reject\"\n%s. TXT \"v=spf1 ip4:192.0.2.99 -all\"\n", d, d)
	}
	for _, d := range alumniSigners {
		zone += w.key.Zone("s1", d)
	}
	dns := dnstest.New(t, zone)
	rules := "rules_dir = \"RULES\"\n"
	w.host = newHost(t, hostConfig{dns: dns.Addr(), extra: rules})
	w.place("dmarcgate.toml", "RULES", filepath.Join(w.dir, "rules.d"))
	for _, dir := range []string{"rules.d", "tmp", "bin"} {
		if err := os.Mkdir(filepath.Join(w.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The page names no configuration, as on a host where it has its usual place.
	script := fmt.Sprintf("#!/bin/sh\nexec %q \"$@\" -c %q\n", binary(t), w.config())
	if err := os.WriteFile(filepath.Join(w.dir, "bin", "dmarcgate"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	w.process = w.host.start()
	w.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{MainCF: postfixLines(t, w.socket)})
	return w
}

// place replaces text in a file of the host.
func (w *walk) place(file, old, new string) {
	w.host.t.Helper()
	path := filepath.Join(w.dir, file)
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, new)), 0o644)
	}
	if err != nil {
		w.host.t.Fatal(err)
	}
}

// letters are the mail of the story, by who sends it.
var letters = map[string]struct {
	client mtatest.Client
	from   string // of the envelope
	change func(message []byte) []byte
	// authors are the author domains, in turn.
	authors []string
}{
	"partner":       {partnerHost, "anna@partner.example", asItIs, partner},
	"forwarder":     {forwarderHost, "srs@forwarder.example", func(m []byte) []byte { return append(m, "-- \r\nScanned by forwarder.example\r\n"...) }, partner},
	"spoofer":       {spooferHost, "x@stranger.example", unsigned, partner},
	"alumni":        {alumniHost, "srs@alumni.example", unsigned, alumniFriends},
	"alumni_signed": {alumniHost, "srs@alumni.example", asItIs, alumniSigners},
}

var partner = []string{"partner.example"}

func asItIs(m []byte) []byte   { return m }
func unsigned(m []byte) []byte { return m[strings.Index(string(m), "From: "):] }

var mailStep = regexp.MustCompile(`^mail: (\w+) (\d+), (\d+)((?: \w+)*)$`)

// mail lets messages arrive.
func (w *walk) mail(step string) {
	t := w.host.t
	t.Helper()
	m := mailStep.FindStringSubmatch(step)
	if m == nil {
		t.Fatalf("docs/walkthrough.md has the step %q, which nobody understands", step)
	}
	l, ok := letters[m[1]]
	n, err := strconv.Atoi(m[2])
	if !ok || err != nil {
		t.Fatalf("step %q: nobody is called %q", step, m[1])
	}
	session, err := w.postfix.Session(l.client)
	if err != nil {
		t.Fatalf("%v\n%s", err, w.postfix.Log())
	}
	defer session.Close()
	names := strings.Fields(m[4])
	for i := range n {
		w.sent++
		author := l.authors[i%len(l.authors)]
		message, err := w.key.Sign(mailText("anna@"+author, fmt.Sprint("order ", w.sent), fmt.Sprintf("Message-ID: <%d@%s>\r\n", w.sent, author)), author, "s1")
		if err != nil {
			t.Fatal(err)
		}
		r := sendLetter(t, session, l.from, l.change(message))
		if got := strconv.Itoa(r.Code); got != m[3] {
			t.Errorf("step %q: message %d gets %v; want %s", step, i+1, r, m[3])
		}
		if i < len(names) {
			w.names[queueIDOf(r)] = names[i]
		}
	}
}

// qidInReply is what a refusal says of the queue id.
var qidInReply = regexp.MustCompile(`\(qid (\w+)\)`)

func queueIDOf(r mtatest.Reply) string {
	if m := qidInReply.FindStringSubmatch(r.Text); m != nil {
		return m[1]
	}
	return r.QueueID()
}

// days lets time go by. A rule does not know how old it is but by the days that
// stand in it, so these go back.
func (w *walk) days(step string) {
	t := w.host.t
	t.Helper()
	n, err := strconv.Atoi(strings.TrimPrefix(step, "days: "))
	if err != nil {
		t.Fatalf("step %q: %v", step, err)
	}
	by := time.Duration(n) * 24 * time.Hour
	files, err := filepath.Glob(filepath.Join(w.dir, "rules.d", "*.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(shiftDays(string(text), -by)), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.shift += by
	w.reload()
}

var dayText = regexp.MustCompile(`\b20\d\d-\d\d-\d\d\b`)

// shiftDays moves all days of a text.
func shiftDays(text string, by time.Duration) string {
	return dayText.ReplaceAllStringFunc(text, func(s string) string {
		day, err := time.Parse(time.DateOnly, s)
		if err != nil {
			return s
		}
		return day.Add(by).Format(time.DateOnly)
	})
}

// run runs a command of the page and returns what it prints, as the page would
// have it.
func (w *walk) run(command string) string {
	t := w.host.t
	t.Helper()
	line := shiftDays(command, -w.shift)
	for id, name := range w.names {
		line = strings.ReplaceAll(line, name, id)
	}
	for _, dir := range w.paths() {
		line = strings.ReplaceAll(line, dir.page, dir.here)
	}
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(w.dir, "bin")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("$ %s\n%v; want success; it printed\n%s", command, err, out)
	}
	text := string(out)
	for id, name := range w.names {
		text = strings.ReplaceAll(text, id, name)
	}
	for _, dir := range w.paths() {
		text = strings.ReplaceAll(text, dir.here, dir.page)
	}
	return shiftDays(text, w.shift)
}

type walkPath struct{ page, here string }

// paths are the directories of the page, and what stands for them. The first
// that fits counts.
func (w *walk) paths() []walkPath {
	return []walkPath{{"/tmp/try", filepath.Join(w.dir, "tmp", "try")}, {"/etc/dmarcgate", w.dir}}
}

// What differs each time and tells nothing: times of day, and hashes.
var (
	timeOfDay = regexp.MustCompile(`\b\d\d:\d\d(:\d\d)?\b`)
	hashOf    = regexp.MustCompile(`\bhash [0-9a-f]{12}\b`)
)

// alike makes a line comparable.
func alike(line string) string {
	return hashOf.ReplaceAllString(timeOfDay.ReplaceAllString(words(line), "hh:mm"), "hash")
}

// shown compares what a command printed with what the page shows of it.
func shown(page, printed []string) (bad string, ok bool) {
	skipping := false
	for len(page) > 0 {
		want := alike(page[0])
		if want == "..." {
			skipping, page = true, page[1:]
			continue
		}
		fits := func(got string) bool {
			if start, ok := strings.CutSuffix(want, " ..."); ok {
				return strings.HasPrefix(alike(got), start)
			}
			return alike(got) == want
		}
		for skipping && len(printed) > 0 && !fits(printed[0]) {
			printed = printed[1:]
		}
		if len(printed) == 0 || !fits(printed[0]) {
			return page[0], false
		}
		skipping, page, printed = false, page[1:], printed[1:]
	}
	if len(printed) > 0 && !skipping {
		return "(the end), where the command goes on with " + printed[0], false
	}
	return "", true
}

// console walks through a block of commands with what they print.
func (w *walk) console(block string) {
	t := w.host.t
	t.Helper()
	for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
		command, page, _ := strings.Cut(part, "\n")
		for strings.HasSuffix(command, "\\") {
			var more string
			more, page, _ = strings.Cut(page, "\n")
			command = strings.TrimSuffix(command, "\\") + strings.TrimSpace(more)
		}
		printed := w.run(command)
		if bad, ok := shown(linesOf(page), linesOf(printed)); !ok {
			t.Errorf("$ %s\nThe page shows %q; the command prints\n%s", command, bad, printed)
		}
	}
}

// linesOf cuts text into lines and leaves out empty ones.
func linesOf(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// walkSteps finds what happens in the page: blocks of commands and comments.
var walkSteps = regexp.MustCompile("(?s)```console\n(.*?)```|<!-- (.*?) -->")

func TestWalkthroughMatchesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/walkthrough.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWalk(t)
	steps := walkSteps.FindAllStringSubmatch(string(page), -1)
	for _, m := range steps {
		switch block, step := m[1], m[2]; {
		case block != "":
			w.console(block)
		case strings.HasPrefix(step, "today: "):
			w.today(strings.TrimPrefix(step, "today: "))
		case strings.HasPrefix(step, "days: "):
			w.days(step)
		default:
			w.mail(step)
		}
	}
	if len(steps) < 15 {
		t.Errorf("docs/walkthrough.md has %d steps; want a story", len(steps))
	}
}

// today says which day it is in the story.
func (w *walk) today(day string) {
	w.host.t.Helper()
	d, err := time.Parse(time.DateOnly, day)
	if err != nil {
		w.host.t.Fatal(err)
	}
	w.shift = d.Sub(time.Now().UTC().Truncate(24 * time.Hour))
}

func TestWalkthroughDetectsDifferences(t *testing.T) {
	printed := []string{"RULE   HITS", "a      1", "b      2  at 12:30", "c      3"}
	tests := []struct {
		name string
		page []string
		want bool
	}{
		{"the same", []string{"RULE HITS", "a 1", "b 2 at 03:00", "c 3"}, true},
		{"lines left out", []string{"...", "b 2 ...", "..."}, true},
		{"another number", []string{"RULE HITS", "a 2", "..."}, false},
		{"another order", []string{"...", "b 2 ...", "...", "a 1", "..."}, false},
		{"something more", []string{"...", "c 3", "d 4"}, false},
		{"the end left out without a word", []string{"RULE HITS", "a 1"}, false},
		{"nothing", nil, false},
	}
	for _, tt := range tests {
		if bad, got := shown(tt.page, printed); got != tt.want {
			t.Errorf("%s: shown(%q) = %q, %v; want %v", tt.name, tt.page, bad, got, tt.want)
		}
	}
}
