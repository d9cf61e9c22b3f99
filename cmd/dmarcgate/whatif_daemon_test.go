package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/policy"
	"dmarcgate/policy/replay"
	"dmarcgate/policy/sum"
	"dmarcgate/results"
	"dmarcgate/results/dbread"
	"dmarcgate/site"
	"dmarcgate/whatif"
)

const (
	// mixSize is how many messages what-if is held to.
	mixSize = 2000
	// mixSessions is how many MTAs send them at once.
	mixSessions = 6
)

// whatIfSite is a daemon with two listeners that gets the same mail under one
// configuration after the other.
type whatIfSite struct {
	*host
	*process
	dns  *dnstest.Server
	mix  *mix
	runs []whatIfRun
}

// whatIfRun is the mix under one configuration.
type whatIfRun struct {
	config  whatIfConfig
	answers []policy.Action // of each message, as the MTA got it
	rows    []results.Row   // the same, as it was recorded
}

// whatIfConfig is what the configurations differ in.
type whatIfConfig struct {
	name      string
	mta, edge string   // TOML of each listener, with its profile
	tables    string   // TOML, at the end
	rules     []string // files of testdata/whatif; none are no rules
	misses    bool     // facts that rules need are not kept
}

// file is the name of the configuration as part of a path.
func (c whatIfConfig) file() string { return strings.ReplaceAll(c.name, " ", "-") }

// text is the configuration. Rules are read from the directory of that name.
func (c whatIfConfig) text(s *whatIfSite) string {
	top := ""
	if len(c.rules) > 0 {
		top = fmt.Sprintf("rules_dir = %q\n", c.rulesDir(s))
	}
	return fmt.Sprintf(`
authserv_id = "mx.receiver.example"
state_dir = %q
%s
[[listener]]
name = "mta"
address = "unix:%s"
trusted_networks = ["192.0.2.250"]
%s
[[listener]]
name = "edge"
address = "unix:%s"
trusted_networks = ["192.0.2.250"]
%s
[admin]
listen = "127.0.0.1:0"
[dns]
servers = [%q]
query_timeout = "1s"
timeout = "2s"
failure_ttl = "5m"
%s`, s.dir, top, s.socketOf("mta"), c.mta, s.socketOf("edge"), c.edge, s.dns.Addr(), c.tables)
}

func (c whatIfConfig) rulesDir(s *whatIfSite) string {
	return filepath.Join(s.dir, "rules-"+c.file())
}

// write writes the configuration and its rules, and returns its path.
func (c whatIfConfig) write(s *whatIfSite) string {
	t := s.host.t
	t.Helper()
	if len(c.rules) > 0 {
		dir := c.rulesDir(s)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(dir, "maps"), os.DirFS("testdata/whatif/maps")); err != nil {
			t.Fatal(err)
		}
		for _, name := range c.rules {
			copyFile(t, filepath.Join("testdata/whatif", name), filepath.Join(dir, name))
		}
	}
	path := filepath.Join(s.dir, c.file()+".conf")
	if err := os.WriteFile(path, []byte(c.text(s)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *whatIfSite) socketOf(listener string) string { return filepath.Join(s.dir, listener+".sock") }

// newWhatIfSite starts a daemon under a configuration. Its store knows one
// sender from before.
func newWhatIfSite(t *testing.T, n int, first whatIfConfig) *whatIfSite {
	t.Helper()
	s := &whatIfSite{mix: newMix(t, n)}
	s.dns = dnstest.New(t, s.mix.zone())
	s.host = newHost(t, hostConfig{dns: s.dns.Addr()})
	s.addHistory(mixKnown, policy.HistoryMessages+10)
	s.active(first)
	s.process = s.host.start()
	return s
}

// addHistory records signed messages of an organization, three days old.
func (s *whatIfSite) addHistory(org string, n int) {
	s.host.t.Helper()
	store, err := openStore(s.storePath())
	if err != nil {
		s.host.t.Fatal(err)
	}
	verdict := dmarc.Verdict{Status: dmarc.Pass, AlignedDKIM: true}
	for i := range n {
		at := time.Now().Add(-72*time.Hour + time.Duration(i)*time.Second)
		store.Add(results.Row{Facts: policy.Facts{
			Time: at, QueueID: fmt.Sprint("4Xold", i), FromField: policy.FromOneMailbox, Authors: []policy.Author{{Domain: org, Org: org, Verdict: verdict}},
		}})
	}
	if err := store.Close(); err != nil {
		s.host.t.Fatal(err)
	}
}

// active makes a configuration that of the daemon, from its start or a reload
// on.
func (s *whatIfSite) active(c whatIfConfig) { copyFile(s.host.t, c.write(s), s.config()) }

// switchTo makes a configuration active while the daemon runs.
func (s *whatIfSite) switchTo(c whatIfConfig) {
	s.host.t.Helper()
	s.active(c)
	before := strings.Count(s.log(), "reload failed")
	s.reload()
	if log := s.log(); strings.Count(log, "reload failed") > before {
		s.host.t.Fatalf("%s was not made active:\n%s", c.name, tail(log))
	}
}

// send sends the mix under the configuration that is active, and reads what
// was recorded.
func (s *whatIfSite) send(c whatIfConfig) *whatIfRun {
	s.host.t.Helper()
	run := whatIfRun{config: c, answers: make([]policy.Action, len(s.mix.mails))}
	n := len(s.runs)
	var wg sync.WaitGroup
	for k := range mixSessions {
		wg.Go(func() { s.sendShare(n, k, run.answers) })
	}
	wg.Wait()
	if s.host.t.Failed() {
		s.host.t.FailNow()
	}
	run.rows = s.recorded(n)
	s.runs = append(s.runs, run)
	return &run
}

// sendShare sends a share of the mix over one connection for each listener.
func (s *whatIfSite) sendShare(run, share int, answers []policy.Action) {
	clients := make(map[string]*miltertest.Client)
	for i := share; i < len(s.mix.mails); i += mixSessions {
		m := s.mix.mails[i]
		c := clients[m.listener]
		if c == nil {
			var err error
			if c, err = miltertest.Dial("unix:"+s.socketOf(m.listener), miltertest.Options{Timeout: mtaTime}); err != nil {
				s.host.t.Error(err)
				return
			}
			defer c.Close()
			clients[m.listener] = c
		}
		m.QueueID = mixID(run, i)
		res, err := c.Send(m.Mail)
		if err != nil {
			s.host.t.Errorf("message %s (%s): %v", m.QueueID, m.kind, err)
			return
		}
		answers[i] = actionOf(res)
	}
}

// mixID is the queue id of a message in a run.
func mixID(run, i int) string { return fmt.Sprintf("4X%dr%04d", run, i) }

// actionOf is what the MTA does with a message.
func actionOf(res miltertest.Result) policy.Action {
	_, held := res.Quarantined()
	switch {
	case res.Code >= 500:
		return policy.Reject
	case res.Code >= 400:
		return policy.Tempfail
	case held:
		return policy.Hold
	case slices.ContainsFunc(res.Edits, func(e miltertest.Edit) bool { return e.Name == "X-DMARC-Quarantine" }):
		return policy.Tag
	}
	return policy.Accept
}

// recorded reads the rows of a run.
func (s *whatIfSite) recorded(run int) []results.Row {
	s.host.t.Helper()
	r, err := dbread.Open(context.Background(), s.storePath())
	if err != nil {
		s.host.t.Fatal(err)
	}
	defer r.Close()
	at := make(map[string]int)
	for i := range s.mix.mails {
		at[mixID(run, i)] = i
	}
	rows := make([]results.Row, len(s.mix.mails))
	found := 0
	err = r.Scan(context.Background(), results.Span{From: time.Now().Add(-time.Hour)}, func(row results.Row) error {
		if i, ok := at[row.Facts.QueueID]; ok {
			rows[i] = row
			found++
		}
		return nil
	})
	if err != nil || found != len(rows) {
		s.host.t.Fatalf("run %d has %d rows, %v; want %d", run, found, err, len(rows))
	}
	return rows
}

// sameMail reports whether two messages are the same but for when they came:
// what-if cannot know what has changed meanwhile.
func sameMail(a, b policy.Facts) bool {
	for _, f := range []*policy.Facts{&a, &b} {
		f.Time, f.QueueID, f.Deferred = time.Time{}, "", 0
	}
	return reflect.DeepEqual(a, b)
}

// asJSON is how a failure shows a decision.
func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// whatIfBase is what the mail comes in under at first: nothing is enforced, and
// rules watch.
var whatIfBase = whatIfConfig{
	name: "first", mta: `profile = "monitor"`, edge: `profile = "monitor"`, tables: whatIfKnown, rules: []string{"relaxing.toml", "watching.toml"},
}

// whatIfKnown is whom conformant believes.
const whatIfKnown = `
[conformant]
trusted_sealers = ["sealer.example"]
forwarder_networks = ["198.51.100.64/28"]
forwarder_domains = ["lists.example"]
`

// whatIfCandidates are what the site may switch to.
var whatIfCandidates = []whatIfConfig{
	{name: "conformant without rules", mta: `profile = "conformant"`, edge: `profile = "conformant"`, tables: whatIfKnown},
	{
		name: "strict with all rules", mta: `profile = "strict"`, edge: `profile = "strict"`,
		rules: []string{"relaxing.toml", "tightening.toml", "reports.toml", "watching.toml"},
	},
	{
		name: "monitor with other rules", mta: `profile = "monitor"`, edge: `profile = "monitor"`,
		rules: []string{"tightening.toml", "reports.toml", "watching.toml"},
	},
	{
		name: "conformant and strict with relaxing rules", mta: `profile = "conformant"`, edge: `profile = "strict"`,
		tables: whatIfKnown, rules: []string{"relaxing.toml", "reports.toml"},
	},
	{
		name: "a quarter enforced", mta: "profile = \"strict\"\nenforce_share = 0.25", edge: "profile = \"conformant\"\nenforce_share = 0.25",
		tables: whatIfKnown, rules: []string{"relaxing.toml", "tightening.toml", "reports.toml", "watching.toml"},
	},
	{
		name: "every other setting", mta: "profile = \"strict\"\nquarantine = \"hold\"", edge: "profile = \"conformant\"\nquarantine = \"reject\"",
		tables: `
[discovery]
pct = "ignore"
[temperror]
domain = "quarantine"
[from]
missing = "quarantine"
several_fields = "accept"
`, rules: []string{"tightening.toml", "watching.toml"},
	},
}

// foretold is the JSON of what-if, as far as it is looked at here.
type foretold struct {
	Messages    int64 `json:"messages"`
	CannotTell  int64 `json:"cannot_tell"`
	Reproduced  int64 `json:"reproduced"`
	Different   int64 `json:"not_reproduced"`
	Unchecked   int64 `json:"unchecked"`
	Differences []any `json:"differences"`
	Changes     []struct {
		From     whatIfAnswer `json:"from"`
		To       whatIfAnswer `json:"to"`
		Messages int64        `json:"messages"`
	} `json:"changes"`
}

type whatIfAnswer struct {
	Action      string `json:"action"`
	Disposition string `json:"disposition"`
}

type whatIfChange struct{ from, to whatIfAnswer }

// changes counts the messages that are answered otherwise.
func (f foretold) changes() map[whatIfChange]int64 {
	out := make(map[whatIfChange]int64)
	for _, c := range f.Changes {
		out[whatIfChange{c.From, c.To}] = c.Messages
	}
	return out
}

// changesOf counts the same in what has happened, to the messages that count.
func changesOf(before, after *whatIfRun, counts []bool) map[whatIfChange]int64 {
	out := make(map[whatIfChange]int64)
	answer := func(d policy.Decision) whatIfAnswer { return whatIfAnswer{d.Action.String(), d.Disposition.String()} }
	for i := range before.rows {
		if c := (whatIfChange{answer(before.rows[i].Decision), answer(after.rows[i].Decision)}); counts[i] && c.from != c.to {
			out[c]++
		}
	}
	return out
}

// prediction is what a configuration would make of the first run.
type prediction struct {
	foretold
	decisions []policy.Decision // of each message, by the code of the command
	sure      []bool
}

// predict asks the command before the configuration is active.
func (s *whatIfSite) predict(c whatIfConfig) prediction {
	s.host.t.Helper()
	path := c.write(s)
	p := prediction{foretold: s.whatIf(path)}
	tried, err := whatif.Load(whatif.Options{Config: path})
	if err != nil {
		s.host.t.Fatal(err)
	}
	for _, row := range s.runs[0].rows {
		d, doubt := tried.Decide(&row)
		p.decisions, p.sure = append(p.decisions, d), append(p.sure, doubt == "")
	}
	return p
}

// sums are those of the settings of a configuration, by listener.
func (s *whatIfSite) sums(path string) map[string]string {
	s.host.t.Helper()
	in, err := site.Load(path, site.AllParts)
	if err != nil {
		s.host.t.Fatal(err)
	}
	sums := make(map[string]string)
	for _, l := range in.Config.Listeners {
		sums[l.Name] = sum.Settings(in.Policy(l))
	}
	return sums
}

// whatIf runs the command on what the daemon has recorded today.
func (s *whatIfSite) whatIf(path string) (f foretold) {
	t := s.host.t
	t.Helper()
	cmd := exec.Command(binary(t), "what-if", "-c", path, "--days", "1", "--json")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("what-if -c %s: %v: %s", path, err, &stderr)
	}
	if err := json.Unmarshal(out, &f); err != nil {
		t.Fatalf("what-if -c %s: %v in %s", path, err, out)
	}
	return f
}

// checkReproduced has what-if decide all that was recorded again by the settings
// active: what they have made must come out as it is stored.
func (s *whatIfSite) checkReproduced(run *whatIfRun) {
	t := s.host.t
	t.Helper()
	sums := s.sums(s.config())
	var want int64
	for _, r := range s.runs {
		for _, row := range r.rows {
			if row.Settings != "" && row.Settings == sums[row.Facts.Listener] {
				want++
			}
		}
	}
	if want < int64(len(run.rows)) {
		t.Errorf("%s: %d rows name the active settings; want those of all %d messages of the run", run.config.name, want, len(run.rows))
	}
	f := s.whatIf(s.config())
	if f.Reproduced+f.Unchecked != want || f.Different != 0 || f.Unchecked > 0 && !run.config.misses {
		t.Errorf("%s: what-if by the active settings reproduces %d decisions, %d not, and leaves %d unchecked; want %d, and nothing else\n%s",
			run.config.name, f.Reproduced, f.Different, f.Unchecked, want, asJSON(f.Differences))
	}
}

// checkPrediction compares a run with what was predicted from the first one, and
// returns of how many messages nothing could be told.
func (s *whatIfSite) checkPrediction(run *whatIfRun, p prediction) (unsure int64) {
	t := s.host.t
	t.Helper()
	wrong := 0
	for i, row := range run.rows {
		if !p.sure[i] {
			unsure++
			continue
		}
		if replay.Equal(&p.decisions[i], &row.Decision) && run.answers[i] == row.Decision.Action {
			continue
		}
		if wrong++; wrong <= 3 {
			t.Errorf("%s: message %s, %s:\nwhat-if says %s\nthe daemon did %s\nthe MTA was told %s",
				run.config.name, row.Facts.QueueID, s.mix.mails[i].kind, asJSON(p.decisions[i]), asJSON(row.Decision), run.answers[i])
		}
	}
	if wrong > 0 {
		t.Errorf("%s: %d of %d messages were not predicted", run.config.name, wrong, len(run.rows))
	}
	if p.Messages != int64(len(run.rows)) || p.CannotTell != unsure || p.Different != 0 {
		t.Errorf("%s: what-if tells of %d messages, cannot tell of %d and does not reproduce %d; want %d, %d and 0",
			run.config.name, p.Messages, p.CannotTell, p.Different, len(run.rows), unsure)
	}
	if got, want := p.changes(), changesOf(&s.runs[0], run, p.sure); !maps.Equal(got, want) {
		t.Errorf("%s: what-if counts the changes %v; the daemon made %v", run.config.name, got, want)
	}
	return unsure
}

// checkSame makes sure that the mail of a run is that of the first one.
func (s *whatIfSite) checkSame(run *whatIfRun) {
	for i, row := range run.rows {
		if first := s.runs[0].rows[i].Facts; !sameMail(first, row.Facts) {
			s.host.t.Fatalf("%s: message %s, %s, is not as it was at first:\n%s\n%s", run.config.name, row.Facts.QueueID, s.mix.mails[i].kind, asJSON(first), asJSON(row.Facts))
		}
	}
}

// What what-if tells of mail that has come is what the daemon does when the same
// mail comes after the switch: each message, whatever the profile and the rules.
func TestWhatIfPredictsDaemon(t *testing.T) {
	s := newWhatIfSite(t, mixSize, whatIfBase)
	s.checkReproduced(s.send(whatIfBase))
	predictions := make([]prediction, len(whatIfCandidates))
	for i, c := range whatIfCandidates {
		predictions[i] = s.predict(c)
	}
	seen := make(map[string]int)
	for i, c := range whatIfCandidates {
		s.switchTo(c)
		run := s.send(c)
		s.checkSame(run)
		if n := s.checkPrediction(run, predictions[i]); n != 0 {
			t.Errorf("%s: what-if cannot tell of %d messages of which everything is kept", c.name, n)
		}
		s.checkReproduced(run)
		run.note(seen)
	}
	t.Logf("%d messages under each of %d configurations: %v", len(s.mix.mails), 1+len(whatIfCandidates), seen)
	for _, what := range whatIfMustShow {
		if seen[what] == 0 {
			t.Errorf("no decision shows %q: the mix or the configurations lack something", what)
		}
	}
}

// Where recipients are not kept, what-if says of each message that hangs on them
// that it cannot tell, and is right about the others.
func TestWhatIfCannotTellMissingFacts(t *testing.T) {
	const private = whatIfKnown + "[privacy]\nkeep_recipients = false\n"
	first, then := whatIfBase, whatIfCandidates[1]
	first.tables, then.tables, first.misses, then.misses = private, private, true, true
	s := newWhatIfSite(t, 20*len(mixKinds), first)
	s.checkReproduced(s.send(first))
	p := s.predict(then)
	s.switchTo(then)
	run := s.send(then)
	s.checkSame(run)
	if n := s.checkPrediction(run, p); n == 0 || n > int64(len(run.rows))/2 {
		t.Errorf("what-if cannot tell of %d messages of %d; want some, and not most", n, len(run.rows))
	}
	s.checkReproduced(run)
}

// whatIfMustShow is what comes up among the decisions, lest the comparison be of
// mail that nothing happens to.
var whatIfMustShow = []string{
	"action accept", "action tag", "action hold", "action reject", "action tempfail",
	"rule alumni-hosts", "rule alumni-network", "rule lists", "rule sealed", "rule partner-forwarder", "rule changed-on-the-way",
	"rule abused-shop", "rule newcomers", "rule from-nobody", "rule known-and-unsigned", "rule no-record", "rule lame",
	"unreported robots", "unreported edge-robots", "shadow watch-lists", "shadow watch-everybody", "shadow watch-robots", "also",
	"reason policy_test_mode", "reason sampled_out", "reason mailing_list", "reason trusted_forwarder", "reason local_policy",
	"evidence arc_sealer", "evidence forwarder", "evidence body_changed", "evidence sends_no_mail", "evidence no_such_domain", "evidence history", "evidence none",
	"not enforced: outside enforce_share",
}

// note counts what came up.
func (r *whatIfRun) note(seen map[string]int) {
	for _, row := range r.rows {
		d := row.Decision
		for key, word := range map[string]string{
			"action": d.Action.String(), "rule": d.Rule, "unreported": d.Unreported, "reason": string(d.Reason), "evidence": string(d.Evidence),
		} {
			if word != "" {
				seen[key+" "+word]++
			}
		}
		for _, shadow := range d.Shadow {
			seen["shadow "+shadow.Rule]++
		}
		if len(d.Also) > 0 {
			seen["also"]++
		}
		if words := "not enforced: outside enforce_share"; strings.Contains(d.Why, words) {
			seen[words]++
		}
	}
}
