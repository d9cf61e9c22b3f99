package view

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestShownLeavesNoCharacterThatHidesOrTurnsOthers(t *testing.T) {
	for in, want := range map[string]string{
		"bank.example": "bank.example", "a\u202eb": "a<U+202E>b", "a\u200b": "a<U+200B>", "\x1b[2J\n": "<U+001B>[2J<U+000A>", "\xff\xc3": "<0xFF><0xC3>",
		"b\u0430nk": "b<U+0430>nk", "\ufffd": "<U+FFFD>", "": "", strings.Repeat("a", maxShown+1): strings.Repeat("a", maxShown) + "...",
		strings.Repeat("a", maxShown): strings.Repeat("a", maxShown), "\U0001f600": "<U+1F600>",
	} {
		if got := Shown(in); got != want {
			t.Errorf("Shown(%q) = %q; want %q", in, got, want)
		}
	}
}

func FuzzShownIsPrintable(f *testing.F) {
	f.Add("\u202e\xff<>")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Shown(s) {
			if r < ' ' || r > '~' {
				t.Errorf("Shown(%q) has %U", s, r)
			}
		}
	})
}

func TestNumberSeparatesThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567", -4: "-4", -1000: "-1\u202f000"} {
		if got := Number(n); got != want {
			t.Errorf("Number(%d) = %q; want %q", n, got, want)
		}
	}
}

func TestAgoTakesOneUnit(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "just now", -time.Hour: "just now", time.Minute: "1 minute ago", 5 * time.Hour: "5 hours ago", 49 * time.Hour: "2 days ago"} {
		if got := Ago(noon, noon.Add(-d)); got != want {
			t.Errorf("Ago(%v) = %q; want %q", d, got, want)
		}
	}
	if got := Ago(noon, time.Time{}); got != "never" {
		t.Errorf("Ago(zero) = %q; want never", got)
	}
}

func TestChartsStackDaysWithinTheirBox(t *testing.T) {
	today := noon.Truncate(24 * time.Hour)
	sums := []results.DaySum{
		{Day: today, Result: dmarc.Pass, Messages: 30},
		{Day: today, Result: dmarc.Fail, Requested: dmarc.Reject, Disposition: policy.Rejected, Messages: 10},
		{Day: today, Result: dmarc.Fail, Requested: dmarc.Reject, Messages: 5},
		{Day: today.AddDate(0, 0, -29), Result: dmarc.Fail, Requested: dmarc.Quarantine, Messages: 3},
		{Day: today.AddDate(0, 0, -30), Result: dmarc.Pass, Messages: 1000},         // before the first day
		{Day: today, State: results.Unanswered, Result: dmarc.Pass, Messages: 1000}, // will come again
		{Day: today, State: results.Deferred, Result: dmarc.TempError, Messages: 2}, // not a refusal
		{Day: today, Skipped: true, Messages: 7},                                    // of users of the site
		{Day: today.AddDate(0, 0, 1), Result: dmarc.Pass, Messages: 1000},           // of a clock that is wrong
		{Day: today.AddDate(-40, 0, 0), Result: dmarc.Pass, Messages: 1000},
	}
	charts := Charts(sums, false, noon)
	want := map[string]string{
		"by-result": "pass 30, fail 18, no record 0, error 2, not evaluated 7", "by-disposition": "delivered 45, quarantined 0, refused 10, deferred 2",
		"by-enforcement": "would be refused 5, would be quarantined 3",
	}
	for _, c := range charts {
		var sums []string
		for _, k := range c.Keys {
			sums = append(sums, k.Name+" "+k.Sum)
		}
		if got := strings.Join(sums, ", "); got != want[c.ID] {
			t.Errorf("%s has %s; want %s", c.ID, got, want[c.ID])
		}
		if len(c.Columns) != Days || c.First != "1 Nov" || c.Last != "30 Nov" || c.Note == "" {
			t.Errorf("%s has %d columns from %s to %s, note %q", c.ID, len(c.Columns), c.First, c.Last, c.Note)
		}
		for _, column := range c.Columns {
			for _, p := range column.Parts {
				if p.X < 0 || p.X+p.W > chartWidth || p.Y < -0.1 || p.Y+p.H > chartHeight+0.1 || p.H < 0 {
					t.Errorf("%s: a part at %v,%v of %v by %v", c.ID, p.X, p.Y, p.W, p.H)
				}
			}
		}
	}
	m := MatrixOf(sums)
	if got := m.Rows[2]; got.Requested != "reject" || strings.Join(got.Cells, " ") != "5 0 10 0" {
		t.Errorf("MatrixOf: reject is %+v; want 5 delivered and 10 refused", got)
	}
}

func TestChartsOfAnEmptyStoreDivideByNothing(t *testing.T) {
	for _, c := range Charts(nil, true, noon) {
		if c.Most != "0" || c.Keys[0].Share != "0 %" || c.Note != "" {
			t.Errorf("%s: most %s, share %s, note %q", c.ID, c.Most, c.Keys[0].Share, c.Note)
		}
	}
}

func TestLightsTellTheWorstFault(t *testing.T) {
	good := admin.Status{Reloaded: noon, Checks: map[string]string{"store": "ok"}, Results: &admin.ResultsStatus{}, DNS: admin.DNSStatus{Servers: []admin.ServerStatus{{Address: "192.0.2.53:53"}}}}
	level := func(change func(*admin.Status)) (out []string) {
		s := good
		change(&s)
		for _, l := range StatusOf(s, noon).Lights {
			if l.Level != OK {
				out = append(out, l.Name+" "+l.Level.String())
			}
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		change func(*admin.Status)
		want   string
	}{
		{"all well", func(*admin.Status) {}, ""},
		{"a failing check", func(s *admin.Status) { s.Checks = map[string]string{"store": "disk"} }, "Checks bad"},
		{"a restart", func(s *admin.Status) { s.Restart = []string{"dns"} }, "Settings warn"},
		{"a failed reload with a restart", func(s *admin.Status) { s.Restart, s.Failure = []string{"dns"}, "x" }, "Settings bad"},
		{"no enforcement", func(s *admin.Status) { s.Monitor = &admin.Monitoring{Until: noon} }, "Enforcement warn"},
		{"a listener without mail", func(s *admin.Status) {
			s.Listeners = []admin.ListenerStatus{{Warning: &admin.ListenerWarning{Text: "x"}}}
		}, "Enforcement warn"},
		{"demoted rules", func(s *admin.Status) { s.RulesDemoted, s.RuleWarnings = 1, 1 }, "Rules bad"},
		{"lost rows and PostgreSQL", func(s *admin.Status) {
			s.Results = &admin.ResultsStatus{Failure: "x", Postgres: &admin.PostgresStatus{Failure: "y"}}
		}, "Store bad"},
		{"no store", func(s *admin.Status) { s.Results = nil }, "Store warn"},
		{"all servers down", func(s *admin.Status) { s.DNS.Servers = []admin.ServerStatus{{Down: true}} }, "DNS bad"},
		{"one of two down", func(s *admin.Status) { s.DNS.Servers = []admin.ServerStatus{{Down: true}, {}} }, "DNS warn"},
		{"a server that refuses", func(s *admin.Status) { s.DNS.Servers = []admin.ServerStatus{{Refusing: noon}} }, "DNS warn"},
	} {
		if got := strings.Join(level(tt.change), ", "); got != tt.want {
			t.Errorf("%s: %s; want %s", tt.name, got, tt.want)
		}
	}
}

func TestParseFilterRefusesWhatIsNoClient(t *testing.T) {
	for client, ok := range map[string]bool{"": true, "192.0.2.1": true, "2001:db8::/32": true, "192.0.2.0/33": false, "x": false, "fe80::1%eth0": true} {
		if _, err := ParseFilter(url.Values{"client": {client}}); (err == nil) != ok {
			t.Errorf("ParseFilter(client %q) = %v; want error = %v", client, err, !ok)
		}
	}
	f, err := ParseFilter(url.Values{"author": {" BANK.example "}, "before": {"-7"}, "rule": {strings.Repeat("a", 1000)}})
	if err != nil || f.Author != "bank.example" || f.Before != 0 || len(f.Rule) != maxField {
		t.Errorf("ParseFilter = %+v, %v", f, err)
	}
}

func TestRulesOfCountsEachRuleAndMarksItsEnd(t *testing.T) {
	rules := []policy.Rule{
		{ID: "quiet", Mode: policy.Enforce}, {ID: "busy", Mode: policy.Shadow, Expires: noon.AddDate(0, 0, 3)},
		{ID: "over", Mode: policy.Enforce, Expires: noon.Add(-time.Hour)}, {ID: "later", Mode: policy.Enforce, Expires: noon.AddDate(1, 0, 0)},
	}
	month := []results.RuleHit{{Rule: "busy", Messages: 4, Changed: 3, Last: noon}, {Rule: "busy", Listener: "b", Messages: 6, Changed: 1, Last: noon.Add(-time.Hour)}, {Rule: "gone", Messages: 100}}
	v := RulesOf(rules, month[:1], month, []results.RuleUse{{Rule: "quiet", Last: noon.AddDate(0, -2, 0)}}, noon)
	got := make(map[string]Rule)
	for _, l := range v.Lines {
		got[l.ID] = l
	}
	if l := got["busy"]; v.Lines[0].ID != "busy" || l.Hits.Text != "10" || l.Day != "4" || l.Changes != "4" || l.Class != "warn" || l.Last != Moment(noon) {
		t.Errorf("busy is %+v, first is %s", l, v.Lines[0].ID)
	}
	if l := got["quiet"]; l.Hits.Text != "0" || l.Changes != "–" || l.Last != "2026-09-30 12:00" || l.Expires != "never" {
		t.Errorf("quiet is %+v", l)
	}
	if got["over"].Class != "warn" || !strings.HasPrefix(got["over"].Expires, "expired") || got["later"].Class != "" {
		t.Errorf("over is %+v, later is %+v", got["over"], got["later"])
	}
}
