package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// whatIfDay is the day of the rows of these tests.
var whatIfDay = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

// someFacts are those of a message that fails; change makes another of it.
func someFacts(n int, change ...func(*policy.Facts)) policy.Facts {
	f := failure(n, "bank.example").Facts
	f.Time, f.Version, f.Seed = whatIfDay.Add(time.Duration(n)*time.Second), policy.FactsVersion, uint64(n)+1
	f.Authors[0].Verdict.Reason = "no aligned SPF or DKIM pass"
	for _, c := range change {
		c(&f)
	}
	return f
}

func verdict(status dmarc.Status, p dmarc.Policy) func(*policy.Facts) {
	return func(f *policy.Facts) { f.Authors[0].Verdict.Status, f.Authors[0].Verdict.Policy = status, p }
}

func author(domain, org string) func(*policy.Facts) {
	return func(f *policy.Facts) {
		f.Authors[0].Domain, f.Authors[0].Org, f.Authors[0].PolicyDomain = domain, org, org
	}
}

// profileSettings are the settings of the test configuration with a profile.
func profileSettings(t *testing.T, profile string, change ...func(*config.Config)) policy.Settings {
	t.Helper()
	in, err := readInputs(toolConfig(t, "127.0.0.1:53"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(in.cfg)
	}
	l := in.cfg.Listeners[0]
	l.Profile = profile
	return in.policy(l)
}

// decided is the row of a message as the settings decide it.
func decided(s policy.Settings, f policy.Facts) results.Row {
	return results.Row{Facts: f, Decision: s.Decide(f), Settings: s.Sum()}
}

// rowList is a store that has its rows in memory.
type rowList []results.Row

func (l rowList) Scan(_ context.Context, _ results.Span, f func(results.Row) error) error {
	for _, r := range l {
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

// trying is the candidate with these settings for the listener mta.
func trying(s policy.Settings) *candidate {
	return &candidate{listeners: map[string]*judge{"mta": newJudge(s, nil)}}
}

func tallied(t *testing.T, c *candidate, rows ...results.Row) *tally {
	t.Helper()
	got, err := whatIf(t.Context(), rowList(rows), c, results.Span{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEachChangeIsCountedAsWhatItIs(t *testing.T) {
	accept, tag := handling{}, handling{policy.Tag, policy.Quarantine}
	hold, refuse := handling{policy.Hold, policy.Quarantine}, handling{policy.Refuse, policy.Reject}
	tempfail, marked := handling{policy.Tempfail, policy.None}, handling{policy.Tag, policy.None}
	reject := verdict(dmarc.Fail, dmarc.Reject)
	holding := func(c *config.Config) { c.Listeners[0].Quarantine = "hold" }
	tests := []struct {
		name     string
		from, to policy.Settings
		facts    policy.Facts
		want     shift
		effect   effect
	}{
		{"monitor to strict", profileSettings(t, "monitor"), profileSettings(t, "strict"), someFacts(1, reject), shift{accept, refuse}, effect{Tightened: 1, Rejected: 1}},
		{"monitor to conformant", profileSettings(t, "monitor"), profileSettings(t, "conformant"), someFacts(1, reject), shift{accept, tag}, effect{Tightened: 1, Quarantined: 1}},
		{"conformant to strict", profileSettings(t, "conformant"), profileSettings(t, "strict"), someFacts(1, reject), shift{tag, refuse}, effect{Tightened: 1, Rejected: 1}},
		{"strict to conformant", profileSettings(t, "strict"), profileSettings(t, "conformant"), someFacts(1, reject), shift{refuse, tag}, effect{Relaxed: 1, Quarantined: 1}},
		{"strict to monitor", profileSettings(t, "strict"), profileSettings(t, "monitor"), someFacts(1, reject), shift{refuse, accept}, effect{Relaxed: 1}},
		{"p=quarantine", profileSettings(t, "monitor"), profileSettings(t, "strict"), someFacts(1, verdict(dmarc.Fail, dmarc.Quarantine)), shift{accept, tag}, effect{Tightened: 1, Quarantined: 1}},
		{"tag to hold", profileSettings(t, "conformant"), profileSettings(t, "conformant", holding), someFacts(1, reject), shift{tag, hold}, effect{Tightened: 1}},
		{"hold to reject", profileSettings(t, "conformant", holding), profileSettings(t, "strict"), someFacts(1, reject), shift{hold, refuse}, effect{Tightened: 1, Rejected: 1}},
		{"a DNS failure", profileSettings(t, "monitor"), profileSettings(t, "strict"), someFacts(1, verdict(dmarc.TempError, 0)), shift{accept, tempfail}, effect{Tightened: 1, Deferred: 1}},
		{"no From", profileSettings(t, "monitor"), profileSettings(t, "conformant"), someFacts(1, func(f *policy.Facts) { f.From, f.Authors = policy.FromMissing, nil }), shift{accept, marked}, effect{Tightened: 1, Quarantined: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			row := decided(tt.from, tt.facts)
			row.Settings = "others"
			got := tallied(t, trying(tt.to), row)
			tt.effect.Changed, tt.effect.Samples = 1, []string{"q1"}
			if e := got.changes[tt.want]; e == nil || len(got.changes) != 1 || !reflect.DeepEqual(*e, tt.effect) || !reflect.DeepEqual(got.effect, tt.effect) {
				t.Errorf("whatIf() = %+v, of %v; want %+v, of %v", got.effect, got.changes, tt.effect, tt.want)
			}
			if got.Messages != 1 || got.unchanged() != 0 {
				t.Errorf("whatIf() = %d messages, %d unchanged; want 1 and 0", got.Messages, got.unchanged())
			}
		})
	}
}

// kindsOfRows are messages of all kinds, as the settings decide them.
func kindsOfRows(s policy.Settings) []results.Row {
	var rows []results.Row
	n := 0
	add := func(change ...func(*policy.Facts)) {
		n++
		rows = append(rows, decided(s, someFacts(n, change...)))
	}
	for _, status := range []dmarc.Status{dmarc.StatusNone, dmarc.Pass, dmarc.Fail, dmarc.TempError, dmarc.PermError} {
		for _, p := range []dmarc.Policy{dmarc.None, dmarc.Quarantine, dmarc.Reject} {
			add(verdict(status, p))
			add(verdict(status, p), author("news.shop.example", "shop.example"))
			add(verdict(status, p), func(f *policy.Facts) { f.Authors[0].Verdict.Pct, f.Authors[0].Draw = 50, 70 })
			add(verdict(status, p), func(f *policy.Facts) { f.Authors[0].Standing = policy.Standing{Asked: true, Missing: true} })
		}
	}
	for _, from := range []policy.From{policy.FromMissing, policy.FromEmptyGroup, policy.FromSeveralFields, policy.FromUnparsable} {
		add(func(f *policy.Facts) { f.From, f.Authors = from, nil })
	}
	add(func(f *policy.Facts) { f.Skip, f.Authors = policy.Loopback, nil })
	return rows
}

func TestTheSameSettingsMakeEveryDecisionAgain(t *testing.T) {
	for _, profile := range []string{"monitor", "conformant", "strict"} {
		s := profileSettings(t, profile)
		c := trying(s)
		c.listeners["mta"].sum = "same"
		rows := kindsOfRows(s)
		for i := range rows {
			rows[i].Settings = "same"
		}
		got := tallied(t, c, rows...)
		if got.Reproduced != int64(len(rows)) || got.Changed != 0 || got.Different != 0 || got.unchanged() != int64(len(rows)) {
			t.Errorf("profile %s: %d of %d reproduced, %d changed; want all and none", profile, got.Reproduced, len(rows), got.Changed)
		}
	}
}

func TestADecisionThatDoesNotComeOutAgainIsFound(t *testing.T) {
	s := profileSettings(t, "strict")
	c := trying(s)
	c.listeners["mta"].sum = "same"
	var rows []results.Row
	for n := range 20 {
		r := decided(s, someFacts(n))
		if r.Settings = "same"; n%2 == 0 {
			r.Decision.Reason += "!"
		}
		rows = append(rows, r)
	}
	got := tallied(t, c, rows...)
	if got.Different != 10 || got.Reproduced != 10 || len(got.differences) != maxDifferences {
		t.Errorf("whatIf() = %d differ, %d reproduced, %d shown; want 10, 10, %d", got.Different, got.Reproduced, len(got.differences), maxDifferences)
	}
	r := whatIfReport{tally: got, tried: c, limit: 10}
	if err := r.failure(); err == nil || !strings.Contains(err.Error(), "10 stored decisions came out differently") || !strings.Contains(err.Error(), "q0 q2") {
		t.Errorf("failure() = %v; want how many and which", err)
	}
	var text strings.Builder
	if err := r.text(&text); err != nil || !strings.Contains(text.String(), "NOT REPRODUCED") {
		t.Errorf("text() = %v\n%s\nwant that they are not reproduced", err, text.String())
	}
}

func TestDecisionsAreComparedInEveryField(t *testing.T) {
	full := policy.Decision{
		Action: policy.Tag, Disposition: policy.Quarantine, Requested: dmarc.Reject, Override: policy.LocalPolicy, Evidence: policy.NoEvidence,
		Reason: "x", Author: "a.example", Effective: []policy.Policy{{Applied: dmarc.Reject}}, Rule: "r", Also: []string{"s"},
		Shadow: []policy.ShadowDecision{{Rule: "t"}}, ReportComment: "c", Unreported: "u",
	}
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).IsZero() {
			t.Errorf("the field %s is not set: set it here, and compare it in equalDecisions", name)
		}
		other := full
		reflect.ValueOf(&other).Elem().Field(i).SetZero()
		if equalDecisions(&full, &other) {
			t.Errorf("equalDecisions() = true for decisions that differ in %s", name)
		}
	}
	same := policy.Decision{Effective: []policy.Policy{}, Also: []string{}, Shadow: []policy.ShadowDecision{}}
	if !equalDecisions(&full, &full) || !equalDecisions(&policy.Decision{}, &same) {
		t.Error("equalDecisions() = false for equal decisions, or for an empty list and none")
	}
}

func TestWhatCannotBeToldIsCountedByItsCause(t *testing.T) {
	s := profileSettings(t, "strict")
	c := trying(s)
	c.listeners["mta"].sum = "same"
	c.listeners["mta"].again = func(f policy.Facts) (policy.Decision, bool) { return s.Decide(f), f.Lacks == 0 && f.Seed != 7 }
	monitor := profileSettings(t, "monitor")
	row := func(n int, change ...func(*policy.Facts)) results.Row {
		r := decided(monitor, someFacts(n, change...))
		r.Settings = "others"
		return r
	}
	made := row(4, func(f *policy.Facts) { f.Lacks = policy.LackClient })
	made.Settings = "same"
	got := tallied(t, c,
		row(0), row(1, func(f *policy.Facts) { f.Lacks = policy.LackHeader | policy.LackSeed }),
		row(2, func(f *policy.Facts) { f.Listener = "old" }), row(3, func(f *policy.Facts) { f.Seed = 7 }), made,
		row(5, func(f *policy.Facts) { f.Listener, f.Skip = "old", policy.Loopback }))
	causes := make(map[string]int64)
	for k, e := range got.causes.lines {
		causes[k] = e.n
	}
	want := map[string]int64{
		"not in the store: list fields, Auto-Submitted and TLS, draws": 1, "no listener old": 1, "some fact is not in the store": 1,
	}
	if got.CannotTell != 3 || !reflect.DeepEqual(causes, want) {
		t.Errorf("whatIf() cannot tell %d: %v; want 3: %v", got.CannotTell, causes, want)
	}
	if got.Changed != 1 || got.Unchecked != 1 || got.NotEvaluated != 1 || got.unchanged() != 2 {
		t.Errorf("whatIf() = %d changed, %d unchecked, %d not evaluated, %d unchanged; want 1, 1, 1, 2",
			got.Changed, got.Unchecked, got.NotEvaluated, got.unchanged())
	}
}

func TestEveryFactThatCanLackHasAName(t *testing.T) {
	var all policy.Lack
	for _, n := range lackNames {
		all |= n.bit
	}
	if want := policy.LackHistory<<1 - 1; all != want {
		t.Errorf("named are %b; want %b", all, want)
	}
}

func TestImportedRowsAreLeftAside(t *testing.T) {
	r := decided(profileSettings(t, "monitor"), someFacts(1))
	r.State = results.Imported
	if got := tallied(t, trying(profileSettings(t, "strict")), r); got.Imported != 1 || got.Messages != 0 || got.Changed != 0 {
		t.Errorf("whatIf() = %d imported, %d messages, %d changed; want 1, 0, 0", got.Imported, got.Messages, got.Changed)
	}
}

func TestChangesBelongToTheRuleThatMakesThem(t *testing.T) {
	tests := []struct {
		before, now string
		want        by
	}{
		{"", "", by{}}, {"", "new", by{Rule: "new"}}, {"old", "", by{Rule: "old", Before: true}}, {"old", "new", by{Rule: "new"}},
	}
	for _, tt := range tests {
		if got := ruleOf(&policy.Decision{Rule: tt.before}, &policy.Decision{Rule: tt.now}); got != tt.want {
			t.Errorf("ruleOf(%q, %q) = %+v; want %+v", tt.before, tt.now, got, tt.want)
		}
	}
}

func TestAnotherRuleWithTheSameAnswerIsNoChange(t *testing.T) {
	s := profileSettings(t, "strict")
	r := decided(s, someFacts(1))
	r.Decision.Rule, r.Settings = "was", "others"
	if got := tallied(t, trying(s), r); got.Relabelled != 1 || got.Changed != 0 || got.unchanged() != 1 {
		t.Errorf("whatIf() = %d relabelled, %d changed; want 1, 0", got.Relabelled, got.Changed)
	}
}

func TestRulesInShadowAreCountedOnTop(t *testing.T) {
	s := profileSettings(t, "strict")
	c := trying(s)
	c.listeners["mta"].again = func(f policy.Facts) (policy.Decision, bool) {
		d := s.Decide(f)
		d.Shadow = []policy.ShadowDecision{{Rule: "milder"}, {Rule: "same", Action: policy.Refuse, Disposition: policy.Reject}}
		return d, true
	}
	got := tallied(t, c, decided(s, someFacts(1)), decided(s, someFacts(2)))
	milder, same := got.shadow.lines["milder"], got.shadow.lines["same"]
	if milder == nil || milder.n != 2 || milder.value.Relaxed != 2 || milder.value.Tightened != 0 {
		t.Errorf("the rule that accepts: %+v; want 2 matches, 2 relaxed", milder)
	}
	if same == nil || same.n != 2 || same.value.Changed != 0 {
		t.Errorf("the rule that refuses: %+v; want 2 matches that change nothing", same)
	}
	if got.Changed != 0 {
		t.Errorf("whatIf() = %d changed; want none by rules in shadow", got.Changed)
	}
}

func TestTablesOfStrangersNamesAreBounded(t *testing.T) {
	c := newCapped[string, struct{}](100)
	own := func(s string) string { return s }
	for n := range 10_000 {
		c.count(fmt.Sprint("once-", n), own)
		if n > 5_000 && n%10 == 0 {
			c.count("late", own)
		}
	}
	if len(c.lines) > 100 {
		t.Errorf("%d lines; want at most 100", len(c.lines))
	}
	late := c.lines["late"]
	if late == nil || late.n > 499 || late.n+c.missed < 499 {
		t.Fatalf("late = %+v, may lack %d; want 499 within that", late, c.missed)
	}
	kept := int64(0)
	for _, e := range c.lines {
		kept += e.n
	}
	if kept+c.dropped != 10_499 {
		t.Errorf("%d counted in lines and %d beside them; want 10499 together", kept, c.dropped)
	}
	if first := c.sorted(func(_, _ ranked[string, struct{}]) int { return 0 })[0]; first.key != "late" {
		t.Errorf("the largest line is %s; want late", first.key)
	}
}

// hostileRows are rows of which each has names that no other has.
type hostileRows struct {
	n        int
	settings policy.Settings
}

func (h hostileRows) Scan(_ context.Context, _ results.Span, f func(results.Row) error) error {
	long := strings.Repeat("x", 200)
	for n := range h.n {
		name := fmt.Sprintf("%s%d.example", long, n)
		facts := someFacts(n, author(name, name))
		facts.QueueID, facts.Recipients, facts.SPF.Domain = name, []string{name, "b." + name}, name
		r := decided(h.settings, facts)
		r.Decision.Rule, r.Settings = name, "others"
		if n%2 == 0 {
			r.Facts.Listener = name
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

func TestMemoryDoesNotGrowWithTheNamesOfStrangers(t *testing.T) {
	c := trying(profileSettings(t, "strict"))
	c.readiness = true
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	got, err := whatIf(t.Context(), hostileRows{60_000, profileSettings(t, "monitor")}, c, results.Span{})
	if err != nil {
		t.Fatal(err)
	}
	grown := heap() - before
	if most := uint64(100 << 20); grown > most { // of 256 MiB, for a program that collects its garbage late
		t.Errorf("hostile rows leave %d MiB; want at most %d", grown>>20, most>>20)
	}
	for name, n := range map[string]int{
		"causes": len(got.causes.lines), "rules": len(got.rules.lines), "authors": len(got.authors.lines),
		"recipients": len(got.recipients.lines), "sources": len(got.readiness.sources.lines),
	} {
		if n > maxLines || n < maxLines/4 {
			t.Errorf("%s: %d lines; want some, at most %d", name, n, maxLines)
		}
	}
	var text strings.Builder
	if err := (&whatIfReport{tally: got, tried: c, limit: 5}).text(&text); err != nil || !strings.Contains(text.String(), "(others): ") {
		t.Errorf("text() = %v\n%s\nwant that it was capped", err, text.String())
	}
}

func TestConditionsAreParsed(t *testing.T) {
	tally := &tally{Messages: 1000, CannotTell: 7, effect: effect{Changed: 30, Relaxed: 1, Tightened: 29, Rejected: 20, Quarantined: 9, Deferred: 3}}
	tests := []struct {
		in    string
		holds bool
		err   string // part of the error
	}{
		{"relaxed>0.1%", false, ""},
		{"relaxed>=0.1%", true, ""},
		{"relaxed>0", true, ""},
		{" changed > 29 ", true, ""},
		{"changed>30", false, ""},
		{"changed >= 30", true, ""},
		{"tightened>2.9%", false, ""},
		{"tightened>2.89999%", true, ""},
		{"rejected>=20", true, ""},
		{"quarantined>=10", false, ""},
		{"deferred>2", true, ""},
		{"cannot_tell>=0.7%", true, ""},
		{"changed>=100%", false, ""},

		{"", false, "at character 1: write one of changed"},
		{"relaxes>1", false, "at character 1: write one of"},
		{"relaxed", false, "at character 8: write > or >="},
		{"relaxed=1", false, "at character 8: write > or >="},
		{"relaxed<1", false, "at character 8"},
		{"relaxed>", false, "at character 9: write a number"},
		{"relaxed>-1", false, "at character 9"},
		{"relaxed>1.5", false, "at character 9: 1.5 messages cannot be"},
		{"relaxed>1..5%", false, "at character 9: 1..5 is not a number"},
		{"relaxed>.5%", false, "is not a number"},
		{"relaxed>1e3", false, "at character 10: nothing may follow"},
		{"relaxed>1 %%", false, "at character 12: nothing may follow"},
		{"relaxed>100%", false, "never holds"},
		{"relaxed>=101%", false, "never holds"},
		{"relaxed>=0", false, "always holds"},
		{"relaxed>1111111111111111111", false, "write a number"},
	}
	for _, tt := range tests {
		c, err := parseCondition(tt.in)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("parseCondition(%q) = %v; want an error with %q", tt.in, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("parseCondition(%q) = %v; want none", tt.in, err)
		} else if got := c.holds(tally); got != tt.holds {
			t.Errorf("%q holds = %v; want %v", tt.in, got, tt.holds)
		}
	}
	c, err := parseCondition("relaxed>0%")
	if err != nil || c.holds(newTally(&candidate{}, 10)) {
		t.Errorf("a share of no messages is more than 0%%, or %v", err)
	}
}

// whatIfRows are some messages of a site that monitors.
func whatIfRows(t *testing.T) []results.Row {
	s := profileSettings(t, "monitor")
	var rows []results.Row
	add := func(count int, change ...func(*policy.Facts)) {
		for range count {
			r := decided(s, someFacts(len(rows), change...))
			r.Settings = "monitoring"
			rows = append(rows, r)
		}
	}
	listed := func(f *policy.Facts) {
		f.DKIM = []policy.DKIM{
			{Result: "pass", Domain: "lists.example.org", Selector: "s"},
			{Result: "fail", Domain: f.Authors[0].Org, HeaderOK: true},
		}
		f.Authors[0].Signers = []string{f.Authors[0].Org}
		f.Recipients = []string{"receiver.example", "other.example"}
	}
	add(25, verdict(dmarc.Pass, dmarc.Reject))
	add(3, author("one.example", "one.example"), listed)
	add(2, author("mail.two.example", "two.example"), listed)
	add(2, author("three.example", "three.example"), listed)
	add(4, author("shop.example", "shop.example"), verdict(dmarc.Fail, dmarc.Quarantine), func(f *policy.Facts) { f.SPF.Domain = "esp.example" })
	add(2, func(f *policy.Facts) {
		f.SPF, f.Authors[0].Standing = policy.SPF{Result: "fail"}, policy.Standing{Asked: true, NoMail: policy.NoMailSPF}
	})
	add(1, verdict(dmarc.TempError, 0))
	add(1, func(f *policy.Facts) { f.From, f.Authors = policy.FromMissing, nil })
	return rows
}

// whatIfCommand runs what-if over these rows.
func whatIfCommand(t *testing.T, args ...string) (code int, stdout, stderr, cfg string) {
	t.Helper()
	cfg = storeWith(t, "", whatIfRows(t)...)
	args = append([]string{"what-if", "-c", cfg, "--since", "2026-11-21", "--until", "2026-11-22"}, args...)
	code, stdout, stderr = command(args...)
	return code, stdout, stderr, cfg
}

func TestTheReportIsAsItWas(t *testing.T) {
	for _, tt := range []struct{ file, flag string }{{"whatif.txt", "--limit=10"}, {"whatif.json", "--json"}} {
		code, out, stderr, cfg := whatIfCommand(t, "--profile", "strict", "--fail-if", "relaxed>0", tt.flag)
		if code != 0 || stderr != "" {
			t.Fatalf("what-if = %d, %s", code, stderr)
		}
		out = strings.ReplaceAll(out, cfg, "dmarcgate.toml")
		if tt.flag == "--json" {
			var v any
			if err := json.Unmarshal([]byte(out), &v); err != nil {
				t.Fatal(err)
			}
			text, err := json.MarshalIndent(v, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			out = string(text) + "\n"
		}
		path := filepath.Join("testdata", tt.file)
		want, err := os.ReadFile(path)
		if os.Getenv("WRITE_WANTED") != "" {
			if err = os.WriteFile(path, []byte(out), 0o644); err == nil {
				want = []byte(out)
			}
		}
		if err != nil || out != string(want) {
			t.Errorf("what-if prints\n%s\nwant what is in %s (%v); WRITE_WANTED=1 writes it anew", out, path, err)
		}
	}
}

func TestAConditionThatHoldsFailsTheCommand(t *testing.T) {
	code, out, stderr, _ := whatIfCommand(t, "--profile", "conformant", "--fail-if", "tightened>5%", "--fail-if", "rejected>=1", "--fail-if", "relaxed>0")
	if code != 1 || !strings.Contains(stderr, `--fail-if "tightened>5%" holds: 15 of 40 messages, 37.50%`) || !strings.Contains(stderr, `"rejected>=1" holds: 2 of`) {
		t.Errorf("what-if = %d, %s; want 1 and what holds", code, stderr)
	}
	if strings.Contains(stderr, "relaxed") || !strings.Contains(out, "relaxed>0  does not hold") || !strings.Contains(out, "READINESS") {
		t.Errorf("what-if prints\n%s%s\nwant the report, and no error for what does not hold", out, stderr)
	}
}

func TestWhatIfTriesRulesOfAnotherDirectory(t *testing.T) {
	dir := t.TempDir()
	rule := "[[rule]]\nid = \"lists\"\nowner = \"x\"\ncreated = 2026-01-01\nexpires = 2027-01-01\nmode = \"enforce\"\naction = \"accept\"\nreason = \"mailing_list\"\n" +
		"[rule.match]\ndkim_pass = [\"lists.example.org\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "lists.toml"), []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr, cfg := whatIfCommand(t, "--rules", dir, "--json") // the profile strict of the configuration
	var got struct {
		Changed int64
		Rules   struct{ Lines []ruleEffect } `json:"by_rule"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Changed != 8 {
		t.Fatalf("what-if --rules = %d, %s, %v, %s; want 8 changes: all but those of the list", code, out, err, stderr)
	}
	code, out, _ = command("what-if", "--profile", "strict", "-c", cfg, "--rules", dir, "--since", "2026-11-21", "--until", "2026-11-22")
	if code != 0 || strings.Contains(out, "lists.example.org") {
		t.Errorf("what-if --rules = %d\n%s\nwant no list among the forwarders: it has its rule", code, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "lists.toml"), []byte(rule+"oops = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr = command("what-if", "-c", cfg, "--rules", dir); code != 2 || !strings.Contains(stderr, "lists.toml:") {
		t.Errorf("what-if with a wrong rule = %d, %s; want 2 and the place", code, stderr)
	}
}

func TestWhatIfRefusesWhatItCannotMean(t *testing.T) {
	cfg := storeWith(t, "")
	for _, args := range [][]string{
		{"--days", "0"}, {"--days", "x"}, {"--days", "3", "--since", "24h"}, {"--since", "yesterday"}, {"--until", "2020-01-01"}, {"--limit", "0"},
		{"--profile", "lax"}, {"--listener", "mta"}, {"--fail-if", "relaxed"}, {"--fail-if", "relaxed>1,5"},
	} {
		if code, _, stderr := command(append([]string{"what-if", "-c", cfg}, args...)...); code != 2 || stderr == "" {
			t.Errorf("what-if %q = %d, %q; want 2 and why", args, code, stderr)
		}
	}
	if code, _, stderr := command("what-if", "-c", cfg, "--profile", "strict", "--listener", "gone"); code != 1 || !strings.Contains(stderr, "there is mta") {
		t.Errorf("what-if with an unknown listener = %d, %q; want 1 and those there are", code, stderr)
	}
	code, out, _ := command("what-if", "-c", cfg, "--profile", "strict", "--listener", "mta")
	if code != 0 || !strings.Contains(out, " 0 messages") || !strings.Contains(out, "no message would be answered more severely") {
		t.Errorf("what-if over nothing = %d\n%s\nwant that there is nothing", code, out)
	}
}

func TestTheReportFitsATerminalWhateverStrangersWrite(t *testing.T) {
	nasty := "\x1b[31m" + strings.Repeat("é", 150) + "\n.example"
	var rows []results.Row
	for n := range 5 {
		f := someFacts(n, author(nasty+fmt.Sprint(n), nasty))
		f.Recipients, f.SPF.Domain, f.QueueID, f.Listener = []string{nasty, "", "c"}, nasty, nasty, "mta"
		r := decided(profileSettings(t, "monitor"), f)
		r.Settings, r.Decision.Rule = "others", "old"
		rows = append(rows, r)
	}
	gone := rows[0]
	gone.Facts.Listener = nasty
	c := trying(profileSettings(t, "strict"))
	c.readiness = true
	var text strings.Builder
	if err := (&whatIfReport{tally: tallied(t, c, append(rows, gone)...), tried: c, limit: 10}).text(&text); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		line = strings.TrimSuffix(line, "\n")
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("line %q; want printable ASCII", line)
		}
	}
	code, out, stderr, _ := whatIfCommand(t, "--profile", "conformant")
	if code != 0 {
		t.Fatal(stderr)
	}
	for line := range strings.Lines(out) {
		if len(line) > 101 && !strings.HasPrefix(line, "what if: ") {
			t.Errorf("line of %d columns: %s", len(line)-1, line)
		}
	}
}

func TestTheBarShowsHowFarTheScanHasCome(t *testing.T) {
	now := whatIfDay.AddDate(0, 0, 1)
	var out strings.Builder
	rows := make(rowList, 1001)
	for i := range rows {
		rows[i].Facts.Time = whatIfDay.Add(time.Duration(i) * time.Second)
	}
	b := &bar{scanner: rows, out: &out, now: func() time.Time { return now }}
	n := 0
	if err := b.Scan(t.Context(), results.Span{To: whatIfDay.Add(1000 * time.Second)}, func(results.Row) error {
		n++
		now = now.Add(time.Millisecond)
		return nil
	}); err != nil || n != len(rows) {
		t.Fatalf("Scan() = %d rows, %v; want all", n, err)
	}
	shown := strings.Split(out.String(), "\r")
	if len(shown) < 5 || len(shown) > 9 { // at most 5 a second, and then nothing
		t.Errorf("drawn %d times in a second: %q", len(shown)-3, shown)
	}
	if want := "[------------------------]   6%  64 messages  1016/s  1s left"; shown[1] != strings.Replace(want, "[-", "[#", 1) {
		t.Errorf("the first line is %q; want %q", shown[1], want)
	}
	if last := shown[len(shown)-2]; strings.TrimSpace(last) != "" || len(last) == 0 {
		t.Errorf("the line is left as %q; want blanks", last)
	}
	if isTerminal(&out) {
		t.Error("a buffer is a terminal")
	}
}

func TestSourcesAreToldApart(t *testing.T) {
	pass := func(domain string) func(*policy.Facts) {
		return func(f *policy.Facts) { f.DKIM = []policy.DKIM{{Result: "pass", Domain: domain}} }
	}
	none := func(f *policy.Facts) { f.SPF = policy.SPF{Result: "none"} }
	known := func(f *policy.Facts) { f.Authors[0].History = policy.History{Messages: 3} }
	from := func(n int) func(*policy.Facts) {
		return author(fmt.Sprintf("mail.o%d.example", n), fmt.Sprintf("o%d.example", n))
	}
	named := func(f *policy.Facts) { f.ClientName = "mx7.relay.example" }
	tests := []struct {
		name   string
		facts  []policy.Facts
		source source
		want   string
	}{
		{"a list of three organizations", []policy.Facts{someFacts(1, from(1), pass("l.example")), someFacts(2, from(2), pass("l.example")), someFacts(3, from(3), pass("l.example"))}, source{byDKIM, "l.example"}, "forwarder"},
		{"a forwarder of one that is known", []policy.Facts{someFacts(1, known)}, source{bySPF, "stranger.example"}, "forwarder"},
		{"a named host, and one that is known", []policy.Facts{someFacts(1, none, named, known)}, source{byName, "relay.example"}, "forwarder"},
		{"a network without a name, and one that is known", []policy.Facts{someFacts(1, none, known)}, source{byNetwork, "203.0.113.0/24"}, "direct"},
		{"the same with a chain", []policy.Facts{someFacts(1, none, known, func(f *policy.Facts) { f.ARC.Result = "pass" })}, source{byNetwork, "203.0.113.0/24"}, "forwarder"},
		{"one organization", []policy.Facts{someFacts(1), someFacts(2)}, source{bySPF, "stranger.example"}, "direct"},
		{"two organizations", []policy.Facts{someFacts(1, from(1)), someFacts(2, from(2))}, source{bySPF, "stranger.example"}, "neither"},
		{"a key in test mode vouches for nobody", []policy.Facts{someFacts(1, none, func(f *policy.Facts) { f.DKIM = []policy.DKIM{{Result: "pass", Domain: "x.example", Testing: true}} })}, source{byNetwork, "203.0.113.0/24"}, "direct"},
		{"IPv6", []policy.Facts{someFacts(1, none, func(f *policy.Facts) { f.Client = netip.MustParseAddr("2001:db8:1:2::3") })}, source{byNetwork, "2001:db8:1::/48"}, "direct"},
		{"no address", []policy.Facts{someFacts(1, none, func(f *policy.Facts) { f.Client = netip.Addr{} })}, source{byNetwork, "no address"}, "direct"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := trying(profileSettings(t, "strict"))
			c.readiness = true
			var rows []results.Row
			for _, f := range tt.facts {
				rows = append(rows, decided(profileSettings(t, "monitor"), f))
			}
			ready := tallied(t, c, rows...).readiness
			e := ready.sources.lines[tt.source]
			if e == nil || len(ready.sources.lines) != 1 {
				t.Fatalf("sources %v; want %v alone", ready.sources.lines, tt.source)
			}
			got := "neither"
			switch {
			case tt.source.forwards(&e.value):
				got = "forwarder"
			case tt.source.direct(&e.value):
				got = "direct"
			}
			if got != tt.want || e.n != int64(len(tt.facts)) {
				t.Errorf("%v with %d messages is %s; want %s", tt.source, e.n, got, tt.want)
			}
		})
	}
}

func TestAMessageWithStrongEvidenceAgainstItIsNoForwarders(t *testing.T) {
	c := trying(profileSettings(t, "strict"))
	c.readiness = true
	f := someFacts(1, func(f *policy.Facts) { f.Authors[0].Standing = policy.Standing{Asked: true, Missing: true} })
	ready := tallied(t, c, decided(profileSettings(t, "monitor"), f)).readiness
	if e := ready.evidence[policy.NoSuchDomain]; e == nil || e.Rejected != 1 || len(ready.sources.lines) != 0 {
		t.Errorf("evidence %v, sources %v; want the evidence and no source", ready.evidence, ready.sources.lines)
	}
}

func TestNamesForAShellAreQuoted(t *testing.T) {
	for in, want := range map[string]string{"4XyZ1": "4XyZ1", "a b": "'a b'", "$(x)": "'$(x)'", "a'b": `'a'\''b'`, "-x": "'-x'", "\n": "'?'"} {
		if got := shellWord(in); got != want {
			t.Errorf("shellWord(%q) = %s; want %s", in, got, want)
		}
	}
}

// The commands of the page run, over the store of a daemon that monitors.
func TestTheCommandsOfTheWhatIfPageWork(t *testing.T) {
	cfg := storeWith(t, "", whatIfRows(t)...)
	dir := t.TempDir()
	n := 0
	for _, block := range blocks(t, "docs/whatif.md", "sh") {
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(line, " #")
			args := strings.Fields(strings.ReplaceAll(line, "'", ""))
			if len(args) == 0 {
				continue
			}
			for i, a := range args {
				switch a {
				case "candidate.toml":
					args[i] = cfg
				case "rules.new":
					args[i] = dir
				}
			}
			if !slices.Contains(args, "--config") {
				args = append(args, "-c", cfg)
			}
			n++
			if code, _, stderr := command(args[1:]...); args[0] != "dmarcgate" || args[1] != "what-if" || code != 0 {
				t.Errorf("%q = %d, %s; want a what-if that works", line, code, stderr)
			}
		}
	}
	if n < 5 {
		t.Errorf("the page has %d commands; want some", n)
	}
}
