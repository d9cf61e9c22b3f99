package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

var update = flag.Bool("update", false, "write what the tests find into the documents")

// Times of the resolver under faults. What is slow is answered with time to
// spare, also where the machine is busy.
const (
	matrixQuery  = 600 * time.Millisecond
	matrixLookup = 1200 * time.Millisecond
	matrixStale  = 900 * time.Millisecond // a second server is queried before
	matrixSlow   = 50 * time.Millisecond
	matrixBudget = 4 * time.Second
	// matrixMargin is for all that is not DNS.
	matrixMargin = 2 * time.Second
)

// The names that a fault is about have targetTTL; all others outlive the test.
const (
	targetTTL  = time.Minute
	noticeTime = 11 * time.Second // after it, earlier answers prove no more that the servers are alive
	proofTime  = 30 * time.Second // after it, servers that fail all checks are our failure
)

// dnsFault is what happens to the DNS.
type dnsFault struct {
	name   string
	names  string // directives about each target, "NAME" in place of its name
	server func(w *matrixWorld) error
	proven bool // the fault of the servers lasts longer than dnscache needs to be sure of it
	heals  bool // an answer comes in time: everything is as without a fault
}

var dnsFaults = []dnsFault{
	{name: "none", heals: true},
	{name: "slow, but in time", names: "!slow NAME " + matrixSlow.String(), heals: true},
	{name: "first of two servers silent", heals: true, server: func(w *matrixWorld) error {
		_, err := w.first.Fault("!down")
		return err
	}},
	{name: "answer comes too late", names: "!slow NAME 30s"},
	{name: "all servers silent", server: allSilent},
	{name: "all servers silent for 30 s", server: allSilent, proven: true},
	{name: "connection refused", server: allClosed},
	{name: "connection refused for 30 s", server: allClosed, proven: true},
	{name: "all servers refuse everything", server: allRefuse},
	{name: "all servers refuse everything for 30 s", server: allRefuse, proven: true},
	{name: "SERVFAIL", names: "!servfail NAME"},
	{name: "REFUSED", names: "!refuse NAME"},
	{name: "DNSSEC bogus", names: "!bogus NAME"},
	{name: "garbage", names: "!garbage NAME"},
	{name: "answer to another question", names: "!lie NAME"},
	{name: "answer from another address", names: "!elsewhere NAME"},
	{name: "truncated, TCP broken", names: "!truncate NAME\n!notcp NAME"},
	{name: "CNAME loop", names: "!loop NAME"},
}

func allSilent(w *matrixWorld) error { return w.both("!down") }

func allClosed(w *matrixWorld) error {
	w.first.RefuseUDP()
	w.second.RefuseUDP()
	return nil
}

// allRefuse has both servers refuse every name there is here.
func allRefuse(w *matrixWorld) error {
	return w.both("!refuse .\n!refuse *.example\n")
}

// matter is a message and the one thing in the DNS that its fate hangs on.
type matter struct {
	title   string
	about   string // the message, for the document
	domain  string // its first label
	target  string // the question, in the form of dnstest's log
	zone    string // "@" stands for the domain, "TTL" for that of the target
	signed  string // the key of the signature; none without
	profile string
	shows   func(answered) string
}

// passes is the SPF record of a domain that sends from where the messages of
// this test come from.
const passes = `"v=spf1 ip4:192.0.2.10 -all"`

func spfWord(a answered) string  { return "spf=" + a.row.Facts.SPF.Result }
func dkimWord(a answered) string { return "dkim=" + a.dkim() }

var matters = []matter{
	{title: "DMARC record, mail that passes", about: "SPF passes, aligned; p=reject",
		domain: "author", target: "TXT _dmarc.@", shows: spfWord,
		zone: "@ TXT " + passes + "\n_dmarc.@ TTL TXT \"v=DMARC1; p=reject\"\n"},
	{title: "DMARC record, mail that fails", about: "SPF fails; p=reject",
		domain: "forged", target: "TXT _dmarc.@", shows: spfWord,
		zone: "@ TXT \"v=spf1 -all\"\n_dmarc.@ TTL TXT \"v=DMARC1; p=reject\"\n"},
	{title: "no DMARC record", about: "SPF fails; the domain has no DMARC record",
		domain: "silent", target: "TXT _dmarc.@", shows: spfWord,
		zone: "@ TTL SOA ns.@ root.@ 1 3600 600 86400 60\n@ TXT \"v=spf1 -all\"\n"},
	{title: "SPF record, mail that passes", about: "only SPF passes, aligned; p=reject",
		domain: "sender", target: "TXT @", shows: spfWord,
		zone: "@ TTL TXT " + passes + "\n_dmarc.@ TXT \"v=DMARC1; p=reject\"\n"},
	{title: "SPF record, mail that fails", about: "SPF fails; p=reject",
		domain: "stranger", target: "TXT @", shows: spfWord,
		zone: "@ TTL TXT \"v=spf1 -all\"\n_dmarc.@ TXT \"v=DMARC1; p=reject\"\n"},
	{title: "DKIM key, mail that passes", about: "only DKIM passes, aligned; p=reject",
		domain: "signer", target: "TXT s1._domainkey.@", signed: "rsa", shows: dkimWord,
		zone: "@ TXT \"v=spf1 -all\"\n_dmarc.@ TXT \"v=DMARC1; p=reject\"\nKEY"},
	{title: "DKIM key, mail that fails", about: "signed with another key; p=reject",
		domain: "breaker", target: "TXT s1._domainkey.@", signed: "other", shows: dkimWord,
		zone: "@ TXT \"v=spf1 -all\"\n_dmarc.@ TXT \"v=DMARC1; p=reject\"\nKEY"},
	{title: "standing of the author domain", about: "nothing authenticated; p=reject; a null MX says that the domain sends no mail; profile conformant",
		domain: "nomail", target: "MX @", profile: "conformant", shows: spfWord,
		zone: "@ TTL MX 0 .\n_dmarc.@ TXT \"v=DMARC1; p=reject\"\n"},
}

// name is the author domain.
func (m matter) name() string { return m.domain + ".example" }

// asks is the question that the faults are about.
func (m matter) asks() string { return strings.ReplaceAll(m.target, "@", m.name()) }

// text is the zone text of the domain.
func (m matter) text(t *testing.T) string {
	ttl := fmt.Sprint(int(targetTTL.Seconds()))
	key := strings.Replace(testKey(t, "rsa").Zone("s1", m.name()), " TXT", " "+ttl+" TXT", 1)
	return strings.NewReplacer("@", m.name(), "TTL", ttl, "KEY", key).Replace(m.zone)
}

// mail is the message.
func (m matter) mail(t *testing.T) miltertest.Mail {
	text := []byte("From: a@" + m.name() + "\r\nSubject: hello\r\n\r\nhello\r\n")
	if m.signed != "" {
		var err error
		if text, err = testKey(t, m.signed).Sign(text, m.name(), "s1"); err != nil {
			t.Fatal(err)
		}
	}
	mail := processMail(m.name(), "4X"+m.domain)
	mail.Message = text
	if m.profile == "conformant" {
		mail.From = "a@bounce.example" // which has no SPF record
	}
	return mail
}

// matrixZone is the DNS of all messages.
func matrixZone(t *testing.T) string {
	var text strings.Builder
	text.WriteString("$TTL 86400\n!negttl 900\n. NS ns.example.\nbounce.example. A 192.0.2.99\n")
	for _, m := range matters {
		text.WriteString(m.text(t))
	}
	return text.String()
}

// matrixWorld is one fault, with one state of the cache: two servers and a
// daemon.
type matrixWorld struct {
	first, second *dnstest.Server
	clock         *dnsClock
	host          *dnsHost
	questions     []string // that the messages ask, without the targets
	targets       []string
}

func newMatrixWorld(t *testing.T, questions []string) *matrixWorld {
	t.Helper()
	text := matrixZone(t)
	w := &matrixWorld{first: dnstest.New(t, text), second: dnstest.New(t, text), clock: newDNSClock()}
	for _, m := range matters {
		w.targets = append(w.targets, m.asks())
	}
	for _, q := range questions {
		if !slices.Contains(w.targets, q) {
			w.questions = append(w.questions, q)
		}
	}
	w.host = startDNSHost(t, dnscache.Config{
		Servers: []string{w.first.Addr(), w.second.Addr()}, QueryTimeout: matrixQuery, Timeout: matrixLookup,
		StaleAfter: matrixStale, Now: w.clock.now,
	}, daemontest.Config{Extra: fmt.Sprintf(`
[limits]
message_budget = %q
[[listener]]
name = "conformant"
address = "tcp:127.0.0.1:0"
profile = "conformant"
`, matrixBudget)})
	return w
}

// both applies directives to both servers.
func (w *matrixWorld) both(directives string) error {
	for _, s := range []*dnstest.Server{w.first, w.second} {
		if _, err := s.Fault(directives); err != nil {
			return err
		}
	}
	return nil
}

// warm fills the cache for a column of the matrix.
func (w *matrixWorld) warm(t *testing.T, state string) {
	t.Helper()
	questions := w.questions
	if state != "cold" {
		questions = append(slices.Clone(questions), w.targets...)
	}
	for _, q := range questions {
		if err := ask(w.host.resolver, q); err != nil {
			t.Fatalf("asking %s before the fault: %v", q, err)
		}
	}
	w.clock.move(noticeTime)
	if state == "stale" {
		w.clock.move(targetTTL)
	}
}

// spoil begins the fault. The resolver notices it as the daemon's does: its
// prober asks every few seconds.
func (w *matrixWorld) spoil(t *testing.T, f dnsFault) {
	t.Helper()
	var text strings.Builder
	for _, q := range w.targets {
		if f.names != "" {
			_, name, _ := strings.Cut(q, " ")
			text.WriteString(strings.ReplaceAll(f.names, "NAME", name) + "\n")
		}
	}
	if err := w.both(text.String()); err != nil {
		t.Fatal(err)
	}
	if f.server != nil {
		if err := f.server(w); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.host.resolver.Probe(t.Context())
	if f.proven {
		daemontest.Eventually(t, "all servers to fail with their windows at one", func() bool {
			return !slices.ContainsFunc(w.host.resolver.Servers(), func(s dnscache.ServerStatus) bool { return s.FailingAtOne.IsZero() })
		})
		w.clock.move(proofTime)
	}
}

// deliver sends all messages at once.
func (w *matrixWorld) deliver(t *testing.T) []answered {
	t.Helper()
	mails := make([]miltertest.Mail, len(matters))
	for i, m := range matters {
		mails[i] = m.mail(t)
	}
	out := make([]answered, len(matters))
	var wg sync.WaitGroup
	for i, m := range matters {
		g := w.host.Listeners()[0]
		if m.profile == "conformant" {
			g = w.host.Listeners()[1]
		}
		wg.Go(func() {
			var err error
			if out[i], err = w.host.deliver(g, mails[i]); err != nil {
				t.Errorf("%s: %v", m.title, err)
			}
			if out[i].took > matrixBudget+matrixMargin {
				t.Errorf("%s: the answer took %v; want at most the budget, %v", m.title, out[i].took, matrixBudget)
			}
		})
	}
	wg.Wait()
	return out
}

// matrix is what became of the messages: by matter, fault and state.
type matrix map[[3]string]answered

// cell is one field of the printed table.
func (m matter) cell(a answered) string {
	words := []string{m.shows(a), "dmarc=" + a.dmarc(), a.answer()}
	if a.stale() {
		words = append(words, "stale")
	}
	return strings.Join(words, ", ")
}

var cacheStates = []string{"cold", "warm", "stale"}

// matrixQuestions returns what the messages ask when everything is well.
func matrixQuestions(t *testing.T) []string {
	t.Helper()
	w := newMatrixWorld(t, nil)
	w.deliver(t)
	questions := append(w.first.Queries(), w.second.Queries()...)
	slices.Sort(questions)
	questions = slices.DeleteFunc(slices.Compact(questions), func(q string) bool { return q == "NS " })
	for _, target := range w.targets {
		if !slices.Contains(questions, target) {
			t.Fatalf("no message asks %s, which the faults are about; they ask %q", target, questions)
		}
	}
	return questions
}

// Each fault of the DNS, on the one name that a message's fate hangs on, with a
// cache that knows nothing of it, that knows it, and that knows a stale answer.
func TestDNSFaultsHaveDocumentedResults(t *testing.T) {
	questions := matrixQuestions(t)
	var mu sync.Mutex
	found := make(matrix)
	t.Run("faults", func(t *testing.T) {
		for _, f := range dnsFaults {
			for _, state := range cacheStates {
				t.Run(f.name+"/"+state, func(t *testing.T) {
					t.Parallel()
					w := newMatrixWorld(t, questions)
					w.warm(t, state)
					w.spoil(t, f)
					got := w.deliver(t)
					mu.Lock()
					defer mu.Unlock()
					for i, m := range matters {
						found[[3]string{m.title, f.name, state}] = got[i]
					}
				})
			}
		}
	})
	if t.Failed() {
		return
	}
	found.evaluate(t)
	compareDocument(t, "docs/dns.md", "matrix", found.print())
}

// print returns the tables. Faults with the same results share a line.
func (x matrix) print() string {
	var b strings.Builder
	for _, m := range matters {
		fmt.Fprintf(&b, "**%s%s** (%s)\n\n| fault | cold | warm | stale |\n|---|---|---|---|\n", strings.ToUpper(m.title[:1]), m.title[1:], m.about)
		var rows []string
		faults := make(map[string][]string)
		for _, f := range dnsFaults {
			row := x.row(m, f)
			if faults[row] == nil {
				rows = append(rows, row)
			}
			faults[row] = append(faults[row], f.name)
		}
		for _, row := range rows {
			fmt.Fprintf(&b, "| %s%s |\n", strings.Join(faults[row], "; "), row)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// row is one line of a table without the name of the fault.
func (x matrix) row(m matter, f dnsFault) string {
	var b strings.Builder
	for _, state := range cacheStates {
		fmt.Fprintf(&b, " | %s", m.cell(x[[3]string{m.title, f.name, state}]))
	}
	return b.String()
}

// evaluate holds the matrix against the rules, whatever the document says.
func (x matrix) evaluate(t *testing.T) {
	t.Helper()
	for _, m := range matters {
		healthy := m.cell(x[[3]string{m.title, "none", "cold"}])
		for _, f := range dnsFaults {
			for _, state := range cacheStates {
				a := x[[3]string{m.title, f.name, state}]
				at := fmt.Sprintf("%s, %s, %s cache: %s", m.title, f.name, state, m.cell(a))
				switch {
				case state == "warm" || f.heals:
					if m.cell(a) != healthy {
						t.Errorf("%s; want what it is without a fault, %s", at, healthy)
					}
				case state == "cold" && a.stale():
					t.Errorf("%s; want nothing stale where nothing was known", at)
				case m.profile == "conformant" && f.server != nil && !f.proven: // it may be had later
					if a.answer() != "451" {
						t.Errorf("%s; want it deferred, as more may be known soon", at)
					}
				case m.profile == "conformant": // evidence that cannot be had is none
					if a.answer() != "tagged" {
						t.Errorf("%s; want it quarantined, as nothing but the fail is known", at)
					}
				case state == "cold" && !strings.HasPrefix(a.dmarc(), "temperror"):
					t.Errorf("%s; want temperror, as the missing answer could change the verdict", at)
				case state == "stale":
					x.evaluateStale(t, m, a, at)
				}
				x.evaluateCause(t, f, a, at)
			}
		}
	}
}

// evaluateStale holds a result on a stale answer against DESIGN 4: it gives a
// pass, a policy or "no record here", and no fail of a mechanism.
func (x matrix) evaluateStale(t *testing.T, m matter, a answered, at string) {
	t.Helper()
	healthy := x[[3]string{m.title, "none", "cold"}]
	if !a.stale() {
		t.Errorf("%s; want it marked stale", at)
	}
	mechanism := !strings.Contains(m.asks(), "_dmarc.")
	if mechanism && healthy.dmarc() == "fail" {
		if !strings.HasPrefix(a.dmarc(), "temperror") {
			t.Errorf("%s; want temperror: an old record fails nobody", at)
		}
		return
	}
	if a.dmarc() != healthy.dmarc() || a.answer() != healthy.answer() {
		t.Errorf("%s; want the verdict and the answer of %s", at, m.cell(healthy))
	}
}

// evaluateCause wants a resolver that is dead for long, and nothing else, to be
// ours, and one that is dead no excuse for anybody until then.
func (x matrix) evaluateCause(t *testing.T, f dnsFault, a answered, at string) {
	t.Helper()
	if !strings.HasPrefix(a.dmarc(), "temperror") {
		return
	}
	want := "temperror (domain)"
	switch {
	case f.proven:
		want = "temperror (ours)"
	case f.server != nil:
		want = "temperror (pressure)"
	}
	if a.dmarc() != want {
		t.Errorf("%s; want %s", at, want)
	}
}

// compareDocument compares what stands between two marks of a document with
// text, or puts text there with -update.
func compareDocument(t *testing.T, file, mark, text string) {
	t.Helper()
	path := "../../" + file
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- begin "+mark+" -->\n", "<!-- end "+mark+" -->"
	before, rest, ok := strings.Cut(string(page), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q and %q", file, begin, end)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+"\n"+text+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old = strings.TrimPrefix(old, "\n"); old == text {
		return
	}
	documented, seen := strings.Split(old, "\n"), strings.Split(text, "\n")
	for i := range max(len(documented), len(seen)) {
		if i >= len(documented) || i >= len(seen) || documented[i] != seen[i] {
			t.Errorf("%s: line %d of %s = %q; the test found %q", file, i+1, mark, at(documented, i), at(seen, i))
		}
	}
	t.Logf("to write what the test found: go test ./cmd/dmarcgate -run %s -update", t.Name())
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}
