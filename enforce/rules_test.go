package enforce

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/policy/sampling"
	"dmarcgate/results"
)

func TestFactsHaveHeaderClaimsAndTLS(t *testing.T) {
	relay := netip.MustParseAddr("10.0.0.1")
	const byRelay = "Received: from mx.bank.example (mx.bank.example [192.0.2.1])\r\n\tby relay.receiver.example (Postfix) with ESMTPS id 4X; Sat, 21 Nov 2026 10:00:00 +0000"
	type facts struct {
		IsList    bool
		ListID    string
		Automatic bool
		TLS       bool
	}
	tests := []struct {
		name   string
		env    milter.Envelope
		fields []string
		want   facts
	}{
		{"nothing", milter.Envelope{Client: good}, nil, facts{}},
		{"a list", milter.Envelope{Client: good}, []string{"List-Id: Devs <Dev.Lists.example.org>"}, facts{IsList: true, ListID: "lists.example.org"}},
		{"a list without a name", milter.Envelope{Client: good}, []string{"List-Post: NO"}, facts{IsList: true}},
		{"a robot", milter.Envelope{Client: good}, []string{"Auto-Submitted: (x) auto-replied"}, facts{Automatic: true}},
		{"TLS", milter.Envelope{Client: good, TLS: "TLSv1.3"}, nil, facts{TLS: true}},
		{"TLS of our own relay is not the client's", milter.Envelope{Client: relay, TLS: "TLSv1.3"}, []string{byRelay}, facts{}},
		{"a submission", milter.Envelope{Client: good, TLS: "TLSv1.3", Authenticated: "user"}, []string{"Auto-Submitted: auto-generated"}, facts{Automatic: true, TLS: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, bankZone+"mx.bank.example. A 192.0.2.1\n")
			r.set.Relays = []Relay{{Networks: []netip.Prefix{netip.PrefixFrom(relay, 32)}, Names: []string{"relay.receiver.example"}}}
			r.use()
			tt.env.MailFrom = "a@bank.example"
			r.send(tt.env, append(tt.fields, "From: a@bank.example")...)
			f := r.store.rows[0].Facts
			if got := (facts{f.IsList, f.ListID, f.Automatic, f.TLS}); got != tt.want {
				t.Errorf("facts of %q = %+v; want %+v", tt.fields, got, tt.want)
			}
			if missing := f.AllMissing(); missing != 0 {
				t.Errorf("the row lacks facts %b; want none", missing)
			}
		})
	}
}

const seedZone = bankZone + `
plain.example.       TXT "v=spf1 ip4:192.0.2.1 -all"
relaxed.example.        TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.relaxed.example. TXT "v=DMARC1; p=none"
!any
`

func TestSeedOnlyForMailUnderRules(t *testing.T) {
	tests := []struct {
		name   string
		env    milter.Envelope
		from   []string
		author string // that the seed is made of; "-" for no seed
	}{
		{"a pass", milter.Envelope{Client: good, MailFrom: "a@bank.example"}, []string{"a@bank.example"}, "-"},
		{"a fail", milter.Envelope{Client: evil, MailFrom: "a@bank.example"}, []string{"a@bank.example"}, "bank.example"},
		{"a fail under p=none", milter.Envelope{Client: evil, MailFrom: "a@bank.example"}, []string{"a@relaxed.example"}, "relaxed.example"},
		{"no policy", milter.Envelope{Client: good, MailFrom: "a@plain.example"}, []string{"a@plain.example"}, "plain.example"},
		{"DNS that fails", milter.Envelope{Client: evil, MailFrom: "a@lame.example"}, []string{"a@lame.example"}, "lame.example"},
		{"one that passes and one that does not", milter.Envelope{Client: good, MailFrom: "a@bank.example"}, []string{"a@bank.example, a@relaxed.example"}, "bank.example"},
		{"no From", milter.Envelope{Client: good, MailFrom: "a@bank.example"}, nil, ""},
		{"two From fields", milter.Envelope{Client: good, MailFrom: "a@bank.example"}, []string{"a@bank.example", "a@bank.example"}, ""},
		{"a header that was cut", milter.Envelope{Client: good, MailFrom: "a@bank.example", HeaderTruncated: true}, []string{"a@bank.example"}, ""},
		{"a submission", milter.Envelope{Client: good, MailFrom: "a@bank.example", Authenticated: "user"}, nil, "-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, seedZone)
			fields := []string{"Message-ID: <1@x>", "Date: today", "Message-ID: <2@x>"}
			for _, from := range tt.from {
				fields = append(fields, "From: "+from)
			}
			r.send(tt.env, fields...)
			r.send(tt.env, fields...) // again, as a sender does that was deferred
			var want uint64
			if tt.author != "-" {
				want = r.set.Sampler.Seed(sampling.Sample{Author: tt.author, MessageID: "<1@x>", Date: "today", MailFrom: tt.env.MailFrom, Client: tt.env.Client})
			}
			for _, row := range r.store.rows {
				if row.Facts.Seed != want {
					t.Errorf("seed = %d; want %d, of %q", row.Facts.Seed, want, tt.author)
				}
			}
		})
	}
}

// A rule about mail that passes may have a sample, and is in no share without a draw.
func TestSeedForMailThatPassesUnderRulesAboutIt(t *testing.T) {
	r := newRig(t, seedZone)
	day := time.Now().UTC().Truncate(24 * time.Hour)
	rules, err := policy.NewRules([]policy.Rule{{
		ID: "pass", Owner: "o", Mode: policy.Enforce, Action: policy.RuleTag, Created: day, Sample: 100,
		Match: policy.Match{Result: []string{"pass"}, PassBy: []string{"spf"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.set.Policy.Rules, r.set.Policy.Quarantine = rules, policy.Hold
	r.use()
	a := r.send(milter.Envelope{Client: good, MailFrom: "a@bank.example"}, "From: a@bank.example")
	row := r.store.rows[0]
	if row.Facts.Seed == 0 || row.Decision.Rule != "pass" || row.Decision.Action != policy.Tag || row.Decision.Disposition != policy.Quarantined {
		t.Errorf("seed %d, decision %+v; want a seed, and a tag by the rule", row.Facts.Seed, row.Decision)
	}
	if edits := fmt.Sprint(a.Edits); !strings.Contains(edits, r.set.TagField) {
		t.Errorf("edits %s; want the quarantine field, though quarantine is hold", edits)
	}
}

func TestFactsRecordHistoryOfFailingMail(t *testing.T) {
	r := newRig(t, seedZone)
	var asked []string
	r.gate.History = func(org string) policy.History {
		asked = append(asked, org)
		return policy.History{Messages: len(org)}
	}
	r.send(milter.Envelope{Client: good, MailFrom: "a@bank.example"}, "From: a@bank.example, a@relaxed.example, a@plain.example")
	if want := []string{"relaxed.example", "plain.example"}; !slices.Equal(asked, want) {
		t.Errorf("history was asked of %q; want %q", asked, want)
	}
	for _, a := range r.store.rows[0].Facts.Authors {
		if want := len(a.Domain); a.Domain != "bank.example" && a.History.Messages != want || a.Domain == "bank.example" && a.History.Messages != 0 {
			t.Errorf("history of %s, %v = %+v", a.Domain, a.Verdict.Status, a.History)
		}
	}
}

func TestRowNamesSettings(t *testing.T) {
	r := newRig(t, bankZone)
	r.set.PolicySum = "0123456789ab"
	r.use()
	env := milter.Envelope{Client: good, MailFrom: "a@bank.example"}
	m := r.gate.Start(t.Context(), &env, [][]byte{[]byte("From: a@bank.example\r\n")})
	r.set.PolicySum = "ba9876543210" // a reload while the message is under way
	r.use()
	m.Finish()
	r.send(milter.Envelope{Client: good, Authenticated: "user"}, "From: a@bank.example")
	for i, want := range []string{"0123456789ab", "ba9876543210"} {
		if got := r.store.rows[i].Settings; got != want {
			t.Errorf("settings of message %d = %q; want %q", i, got, want)
		}
	}
}

// ruled is a decision that rules had a part in.
func ruled() policy.Decision {
	return policy.Decision{
		Action: policy.Tag, Disposition: policy.Quarantined, Author: "bank.example", Why: "nothing aligned; rule partner",
		Rule: "partner", Unreported: "quiet", Also: []string{"lists"},
		Shadow: []policy.ShadowDecision{
			{Rule: "same", Action: policy.Tag}, {Rule: "milder", Action: policy.Accept}, {Rule: "harder", Action: policy.Reject},
		},
	}
}

func TestMetricsCountEachMatchedRule(t *testing.T) {
	r := newRig(t, bankZone)
	f := policy.Facts{Time: time.Unix(1_800_000_000, 0), Listener: "mta"}
	m := &mail{gate: r.gate}
	m.count(f, ruled())
	const head = "# HELP dmarcgate_%[1]s %[2]s\n# TYPE dmarcgate_%[1]s %[3]s\n"
	want := fmt.Sprintf(head, "rule_last_match_timestamp_seconds", "Time of the last message that a rule matched.", "gauge")
	for _, id := range []string{"harder", "lists", "milder", "partner", "quiet", "same"} {
		want += fmt.Sprintf("dmarcgate_rule_last_match_timestamp_seconds{rule=%q} 1.8e+09\n", id)
	}
	want += fmt.Sprintf(head, "rule_matches_total", "Messages that a rule decided, or would have.", "counter")
	for _, s := range []string{
		`action="reject",mode="shadow",rule="harder"`, `action="accept",mode="shadow",rule="milder"`, `action="tag",mode="enforce",rule="partner"`,
		`action="tag",mode="enforce",rule="quiet"`, `action="tag",mode="shadow",rule="same"`,
	} {
		want += "dmarcgate_rule_matches_total{" + s + "} 1\n"
	}
	want += fmt.Sprintf(head, "rule_shadow_changes_total", "Messages that a rule in shadow mode would have answered otherwise.", "counter")
	for _, s := range []string{`from="tag",rule="harder",to="reject"`, `from="tag",rule="milder",to="accept"`} {
		want += "dmarcgate_rule_shadow_changes_total{" + s + "} 1\n"
	}
	err := testutil.GatherAndCompare(r.reg, strings.NewReader(want), "dmarcgate_rule_matches_total", "dmarcgate_rule_last_match_timestamp_seconds", "dmarcgate_rule_shadow_changes_total")
	if err != nil {
		t.Error(err)
	}
}

func TestLogLineNamesRules(t *testing.T) {
	crowd := policy.Decision{}
	for i := range mostShadows + 2 {
		crowd.Shadow = append(crowd.Shadow, policy.ShadowDecision{Rule: fmt.Sprint("r-", i), Action: policy.Reject})
	}
	five := policy.Decision{Shadow: crowd.Shadow[:mostShadows]}
	for _, tt := range []struct {
		name string
		d    policy.Decision
		want string
	}{
		{"none", policy.Decision{}, ""},
		{"those that decided and those that would", ruled(), " rule=partner unreported=quiet shadow=milder:accept,harder:reject"},
		{"one in shadow that changes nothing", policy.Decision{Shadow: []policy.ShadowDecision{{Rule: "same"}}}, ""},
		{"as many as are named", five, " shadow=r-0:reject,r-1:reject,r-2:reject,r-3:reject,r-4:reject"},
		{"more", crowd, " shadow=r-0:reject,r-1:reject,r-2:reject,r-3:reject,r-4:reject,…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, bankZone)
			m := &mail{gate: r.gate}
			m.log(policy.Facts{}, tt.d, &results.Receipt{}, 0)
			_, line, _ := strings.Cut(r.log.String(), " why=")
			if i := strings.Index(line, " dur="); i < 0 || !strings.HasSuffix(line[:i], tt.want) || tt.want == "" && strings.Contains(line[:i], "=") {
				t.Errorf("log line = …%s; want %q in it", line, tt.want)
			}
		})
	}
}

func TestReplyDoesNotNameRule(t *testing.T) {
	r := newRig(t, bankZone)
	day := time.Now().UTC().Truncate(24 * time.Hour)
	for _, action := range []policy.RuleAction{policy.RuleAccept, policy.RuleQuarantine, policy.RuleTempfail, policy.RuleReject} {
		for _, from := range []string{"From: a@bank.example", "Subject: x"} {
			for _, quarantine := range []policy.Action{policy.Tag, policy.Hold} {
				rules, err := policy.NewRules([]policy.Rule{{
					ID: "secretpartner", Owner: "o", Mode: policy.Enforce, Action: action, Reason: policy.LocalPolicy,
					Created: day, Expires: day.AddDate(1, 0, 0),
					Match: policy.Match{Client: []pattern.Network{pattern.NetworkOf(netip.PrefixFrom(evil, 32))}, Result: []string{"fail", "permerror"}},
				}})
				if err != nil {
					t.Fatal(err)
				}
				r.set.Policy.Rules, r.set.Policy.Quarantine = rules, quarantine
				r.set.Reply.Tempfail = "{domain}: {why}"
				r.use()
				a := r.send(milter.Envelope{Client: evil, MailFrom: "a@bank.example"}, from)
				row := r.store.rows[len(r.store.rows)-1]
				if row.Decision.Rule != "secretpartner" || !strings.Contains(row.Decision.Why, "secretpartner") {
					t.Fatalf("decision = %+v; want the rule in it", row.Decision)
				}
				if got := a.Reply.String() + fmt.Sprint(a.Edits); strings.Contains(got, "secretpartner") {
					t.Errorf("%v, %v of %q: answer = %s; want nothing of the rule", action, quarantine, from, got)
				}
			}
		}
	}
}

func TestReplyNamesThePolicyOnlyOfAnAuthorDomainThatAsksForSomething(t *testing.T) {
	zone := `
asks.example.        TXT "v=spf1 ip4:203.0.113.1 -all"
_dmarc.asks.example. TXT "v=DMARC1; p=quarantine"
soft.example.        TXT "v=spf1 -all"
_dmarc.soft.example. TXT "v=DMARC1; p=none"
_dmarc.test.example. TXT "v=DMARC1; p=quarantine; t=y"
none.example.        TXT "v=spf1 -all"
`
	tests := []struct{ name, mailFrom, from, want string }{
		{"mail that fails", "a@none.example", "From: a@asks.example", "550 5.7.1 DMARC asks.example: "},
		{"mail that passes", "a@asks.example", "From: a@asks.example", "550 5.7.1 local, no DMARC of asks.example: aligned SPF pass"},
		{"mail that fails under p=none", "a@none.example", "From: a@soft.example", "550 5.7.1 local, no DMARC of soft.example: "},
		{"mail that fails under a policy that is being tested", "a@none.example", "From: a@test.example", "550 5.7.1 local, no DMARC of test.example: "},
		{"mail without a record", "a@none.example", "From: a@none.example", "550 5.7.1 local, no DMARC of none.example: no DMARC record"},
		{"mail without an author domain", "a@none.example", "Subject: x", "550 5.7.1 no author the message: "},
	}
	rule := func(id string, results ...string) policy.Rule {
		return policy.Rule{
			ID: id, Owner: "o", Mode: policy.Enforce, Action: policy.RuleReject, Created: time.Now().UTC().Truncate(24 * time.Hour),
			Match: policy.Match{Client: []pattern.Network{pattern.NetworkOf(netip.PrefixFrom(evil, 32))}, Result: results},
		}
	}
	rules, err := policy.NewRules([]policy.Rule{rule("passes", "pass"), rule("others", "fail", "none", "permerror")})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, zone)
			r.set.Policy.Rules = rules
			r.use()
			if got := r.send(milter.Envelope{Client: evil, MailFrom: tt.mailFrom}, tt.from).Reply.String(); !strings.HasPrefix(got, tt.want) {
				t.Errorf("reply = %q; want %q first", got, tt.want)
			}
		})
	}
}

func TestReplyHasTextOfRule(t *testing.T) {
	day := time.Now().UTC().Truncate(24 * time.Hour)
	tests := []struct {
		name   string
		action policy.RuleAction
		from   string
		want   string
	}{
		{"a refusal", policy.RuleReject, "From: a@bank.example", "550 5.7.1 DMARC wave of forgeries in the name of bank.example (4XyZ1); see https://help.example"},
		{"a refusal without an author domain", policy.RuleReject, "Subject: x", "550 5.7.1 DMARC wave of forgeries in the name of the message (4XyZ1); see https://help.example"},
		{"a deferral", policy.RuleTempfail, "From: a@bank.example", "451 4.7.1 DMARC wave of forgeries in the name of bank.example (4XyZ1); see https://help.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, bankZone)
			rules, err := policy.NewRules([]policy.Rule{{
				ID: "wave", Owner: "o", Mode: policy.Enforce, Action: tt.action, Created: day, Text: "DMARC wave of forgeries in the name of {domain} ({qid})",
				Match: policy.Match{Client: []pattern.Network{pattern.NetworkOf(netip.PrefixFrom(evil, 32))}, Result: []string{"fail", "permerror"}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			r.set.Policy.Rules, r.set.Reply.Help = rules, "https://help.example"
			r.use()
			env := milter.Envelope{Client: evil, MailFrom: "a@bank.example"}
			if got := strings.Replace(r.send(env, tt.from).Reply.String(), r.store.rows[0].Facts.QueueID, "4XyZ1", 1); got != tt.want {
				t.Errorf("reply = %q; want %q", got, tt.want)
			}
		})
	}
}
