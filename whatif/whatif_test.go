package whatif

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/results"
	"dmarcgate/site"
)

// testConfig writes a configuration with one listener, mta, and returns its path.
func testConfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dmarcgate.toml")
	text := fmt.Sprintf("authserv_id = \"mx.receiver.example\"\nstate_dir = %q\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofile = \"strict\"\n", t.TempDir())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// profileSettings are the settings of the test configuration with a profile.
func profileSettings(t *testing.T, profile string, change ...func(*config.Config)) policy.Settings {
	t.Helper()
	in, err := site.Load(testConfig(t), site.AllParts)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(in.Config)
	}
	l := in.Config.Listeners[0]
	if err := l.Profile.UnmarshalText([]byte(profile)); err != nil {
		t.Fatal(err)
	}
	return in.Policy(l)
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
func trying(s policy.Settings) *Candidate {
	return &Candidate{listeners: map[string]*evaluator{"mta": newEvaluator(s, nil)}}
}

func tallied(t *testing.T, c *Candidate, rows ...results.Row) *tally {
	t.Helper()
	got, err := whatIf(t.Context(), rowList(rows), c, results.Span{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTallyCountsEachChange(t *testing.T) {
	accept, tag := handling{}, handling{policy.Tag, policy.Quarantined}
	hold, refuse := handling{policy.Hold, policy.Quarantined}, handling{policy.Reject, policy.Rejected}
	tempfail, marked := handling{policy.Tempfail, policy.Delivered}, handling{policy.Tag, policy.Delivered}
	reject := resultstest.Verdict(dmarc.Fail, dmarc.Reject)
	holding := func(c *config.Config) { c.Listeners[0].Quarantine = policy.Hold }
	tests := []struct {
		name     string
		from, to policy.Settings
		facts    policy.Facts
		want     shift
		effect   effect
	}{
		{"monitor to strict", profileSettings(t, "monitor"), profileSettings(t, "strict"), resultstest.Facts(1, reject), shift{accept, refuse}, effect{Tightened: 1, Rejected: 1}},
		{"monitor to conformant", profileSettings(t, "monitor"), profileSettings(t, "conformant"), resultstest.Facts(1, reject), shift{accept, tag}, effect{Tightened: 1, Quarantined: 1}},
		{"conformant to strict", profileSettings(t, "conformant"), profileSettings(t, "strict"), resultstest.Facts(1, reject), shift{tag, refuse}, effect{Tightened: 1, Rejected: 1}},
		{"strict to conformant", profileSettings(t, "strict"), profileSettings(t, "conformant"), resultstest.Facts(1, reject), shift{refuse, tag}, effect{Relaxed: 1, Quarantined: 1}},
		{"strict to monitor", profileSettings(t, "strict"), profileSettings(t, "monitor"), resultstest.Facts(1, reject), shift{refuse, accept}, effect{Relaxed: 1}},
		{"p=quarantine", profileSettings(t, "monitor"), profileSettings(t, "strict"), resultstest.Facts(1, resultstest.Verdict(dmarc.Fail, dmarc.Quarantine)), shift{accept, tag}, effect{Tightened: 1, Quarantined: 1}},
		{"tag to hold", profileSettings(t, "conformant"), profileSettings(t, "conformant", holding), resultstest.Facts(1, reject), shift{tag, hold}, effect{Tightened: 1}},
		{"hold to reject", profileSettings(t, "conformant", holding), profileSettings(t, "strict"), resultstest.Facts(1, reject), shift{hold, refuse}, effect{Tightened: 1, Rejected: 1}},
		{"a DNS failure", profileSettings(t, "monitor"), profileSettings(t, "strict"), resultstest.Facts(1, resultstest.Verdict(dmarc.TempError, 0)), shift{accept, tempfail}, effect{Tightened: 1, Deferred: 1}},
		{"no From", profileSettings(t, "monitor"), profileSettings(t, "conformant"), resultstest.Facts(1, func(f *policy.Facts) { f.FromField, f.Authors = policy.FromMissing, nil }), shift{accept, marked}, effect{Tightened: 1, Quarantined: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			row := resultstest.Decided(tt.from, tt.facts)
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

func TestWhatIfSameSettingsReproduceDecisions(t *testing.T) {
	for _, profile := range []string{"monitor", "conformant", "strict"} {
		s := profileSettings(t, profile)
		c := trying(s)
		c.listeners["mta"].sum = "same"
		rows := resultstest.Kinds(s)
		for i := range rows {
			rows[i].Settings = "same"
		}
		got := tallied(t, c, rows...)
		if got.Reproduced != int64(len(rows)) || got.Changed != 0 || got.Different != 0 || got.unchanged() != int64(len(rows)) {
			t.Errorf("profile %s: %d of %d reproduced, %d changed; want all and none", profile, got.Reproduced, len(rows), got.Changed)
		}
	}
}

func TestWhatIfReportsUnreproducedDecision(t *testing.T) {
	s := profileSettings(t, "strict")
	c := trying(s)
	c.listeners["mta"].sum = "same"
	var rows []results.Row
	for n := range 20 {
		r := resultstest.Decided(s, resultstest.Facts(n))
		if r.Settings = "same"; n%2 == 0 {
			r.Decision.Why += "!"
		}
		rows = append(rows, r)
	}
	got := tallied(t, c, rows...)
	if got.Different != 10 || got.Reproduced != 10 || len(got.differences) != maxDifferences {
		t.Errorf("whatIf() = %d differ, %d reproduced, %d shown; want 10, 10, %d", got.Different, got.Reproduced, len(got.differences), maxDifferences)
	}
	r := report{tally: got, tried: c, limit: 10}
	if err := r.failure(); err == nil || !strings.Contains(err.Error(), "10 stored decisions came out differently") || !strings.Contains(err.Error(), "q0 q2") {
		t.Errorf("failure() = %v; want how many and which", err)
	}
	var text strings.Builder
	if err := r.text(&text); err != nil || !strings.Contains(text.String(), "NOT REPRODUCED") {
		t.Errorf("text() = %v\n%s\nwant that they are not reproduced", err, text.String())
	}
}

func TestTallyCountsCannotTellByCause(t *testing.T) {
	s := profileSettings(t, "strict")
	c := trying(s)
	c.listeners["mta"].sum = "same"
	c.listeners["mta"].again = func(f policy.Facts) (policy.Decision, bool) { return s.Decide(f), f.Missing == 0 && f.Seed != 7 }
	monitor := profileSettings(t, "monitor")
	row := func(n int, change ...func(*policy.Facts)) results.Row {
		r := resultstest.Decided(monitor, resultstest.Facts(n, change...))
		r.Settings = "others"
		return r
	}
	made := row(4, func(f *policy.Facts) { f.Missing = policy.MissingClient })
	made.Settings = "same"
	got := tallied(t, c,
		row(0), row(1, func(f *policy.Facts) { f.Missing = policy.MissingHeader | policy.MissingSeed }),
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

func TestWhatIfRuleNeedsStoredFact(t *testing.T) {
	signer, err := pattern.ParseDomain("lists.example.org")
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	s := profileSettings(t, "strict")
	if s.Rules, err = policy.NewRules([]policy.Rule{{
		ID: "lists", Owner: "x", Created: resultstest.Day, Expires: resultstest.Day.AddDate(1, 0, 0), Mode: policy.Enforce,
		Action: policy.RuleAccept, Reason: policy.MailingList, Match: policy.Match{DKIMPass: []pattern.Domain{signer}, IsList: &yes},
	}}); err != nil {
		t.Fatal(err)
	}
	signed := func(f *policy.Facts) { f.DKIM = []policy.DKIM{{Result: "pass", Domain: "lists.example.org"}} }
	old := func(f *policy.Facts) { f.Version = 0 }
	list := func(f *policy.Facts) { f.IsList = true }
	var rows []results.Row
	for n, f := range []policy.Facts{resultstest.Facts(0), resultstest.Facts(1, old), resultstest.Facts(2, signed), resultstest.Facts(3, signed, list), resultstest.Facts(4, signed, old)} {
		rows = append(rows, resultstest.Decided(profileSettings(t, "strict"), f))
		rows[n].Settings = "others"
	}
	got := tallied(t, trying(s), rows...)
	if got.CannotTell != 1 || got.Changed != 1 || got.Relaxed != 1 || !slices.Equal(got.Samples, []string{"q3"}) {
		t.Errorf("whatIf() cannot tell %d, relaxes %d of %d: %q; want 1, 1 of 1: q3", got.CannotTell, got.Relaxed, got.Changed, got.Samples)
	}
	if by := (by{Rule: "lists"}); got.rules.lines[by] == nil {
		t.Errorf("by rule: %v; want %v", got.rules.lines, by)
	}
	again := rows[:0:0]
	for _, r := range rows {
		again = append(again, resultstest.Decided(s, r.Facts))
	}
	if got := tallied(t, trying(s), again...); got.Reproduced != 4 || got.Unchecked != 1 || got.Different+got.Changed+got.CannotTell != 0 {
		t.Errorf("by the same settings: %d reproduced, %d unchecked, %d different; want 4, 1, 0", got.Reproduced, got.Unchecked, got.Different)
	}
}

func TestTallyNamesMissingFacts(t *testing.T) {
	var all policy.MissingFacts
	for _, n := range missingNames {
		all |= n.bit
	}
	if want := policy.MissingFacts(0xff); all != want {
		t.Errorf("named are %b; want %b", all, want)
	}
}

func TestWhatIfSkipsImportedRows(t *testing.T) {
	r := resultstest.Decided(profileSettings(t, "monitor"), resultstest.Facts(1))
	r.State = results.Imported
	if got := tallied(t, trying(profileSettings(t, "strict")), r); got.Imported != 1 || got.Messages != 0 || got.Changed != 0 {
		t.Errorf("whatIf() = %d imported, %d messages, %d changed; want 1, 0, 0", got.Imported, got.Messages, got.Changed)
	}
}

func TestTallyAssignsChangesToRules(t *testing.T) {
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

func TestTallyOtherRuleWithSameAnswerIsNoChange(t *testing.T) {
	s := profileSettings(t, "strict")
	r := resultstest.Decided(s, resultstest.Facts(1))
	r.Decision.Rule, r.Settings = "was", "others"
	if got := tallied(t, trying(s), r); got.Relabelled != 1 || got.Changed != 0 || got.unchanged() != 1 {
		t.Errorf("whatIf() = %d relabelled, %d changed; want 1, 0", got.Relabelled, got.Changed)
	}
}

func TestTallyLineShowsSamples(t *testing.T) {
	long := strings.Repeat("x", 20)
	for _, tt := range []struct {
		ids  []string
		want string
	}{{nil, ""}, {[]string{"a", "b", "c"}, "a b c"}, {[]string{long, "b", long}, long + " b"}, {[]string{long + long + "y", "b"}, long + long + "..."}} {
		if got := samples(tt.ids); got != tt.want {
			t.Errorf("samples(%q) = %q; want %q", tt.ids, got, tt.want)
		}
	}
}

func TestTallyCountsShadowRules(t *testing.T) {
	s := profileSettings(t, "strict")
	c := trying(s)
	c.listeners["mta"].again = func(f policy.Facts) (policy.Decision, bool) {
		d := s.Decide(f)
		d.Shadow = []policy.ShadowDecision{{Rule: "milder"}, {Rule: "same", Action: policy.Reject, Disposition: policy.Rejected}}
		return d, true
	}
	got := tallied(t, c, resultstest.Decided(s, resultstest.Facts(1)), resultstest.Decided(s, resultstest.Facts(2)))
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

// The time of a rule is compared with that of the stored message, by the clocks that
// its zone had then.
func TestWhatIfUsesStoredTimeInZoneOfRule(t *testing.T) {
	var berlin pattern.Zone
	if err := berlin.UnmarshalText([]byte("Europe/Berlin")); err != nil {
		t.Fatal(err)
	}
	s := profileSettings(t, "strict")
	var err error
	if s.Rules, err = policy.NewRules([]policy.Rule{{
		ID: "by-day", Owner: "x", Comment: "c", Created: resultstest.Day, Mode: policy.Enforce, Action: policy.RuleAccept, Reason: policy.LocalPolicy,
		Match: policy.Match{Hours: []pattern.Hours{{Begin: 9 * 60, End: 17 * 60}}, TZ: &berlin},
	}}); err != nil {
		t.Fatal(err)
	}
	var rows []results.Row
	for n, at := range []time.Time{
		time.Date(2026, 10, 24, 7, 30, 0, 0, time.UTC),  // 9:30 in summer
		time.Date(2026, 10, 25, 7, 30, 0, 0, time.UTC),  // 8:30: clocks went back in the night
		time.Date(2026, 10, 25, 15, 30, 0, 0, time.UTC), // 16:30
		time.Date(2026, 10, 24, 15, 30, 0, 0, time.UTC), // 17:30
	} {
		rows = append(rows, resultstest.Decided(profileSettings(t, "strict"), resultstest.Facts(n, func(f *policy.Facts) { f.Time = at })))
	}
	got := tallied(t, trying(s), rows...)
	if got.Relaxed != 2 || got.Changed != 2 || !slices.Equal(got.Samples, []string{"q0", "q2"}) {
		t.Errorf("whatIf() relaxes %d of %d: %q; want 2 of 2: q0 and q2", got.Relaxed, got.Changed, got.Samples)
	}
}
