package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/policy/pattern"
)

func pointer[T any](v T) *T { return &v }

// testedRule is a rule that lets the mail of a forwarder in.
func testedRule(id string, mode Mode, tests ...Test) Rule {
	return Rule{
		ID: id, Owner: "o", Created: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), Expires: time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC),
		Mode: mode, Action: RuleAccept, Reason: TrustedForwarder, Priority: 100,
		Match: Match{ClientIP: []pattern.Network{pattern.NetworkOf(netip.MustParsePrefix("192.0.2.0/24"))}},
		Tests: tests, File: "f",
	}
}

var fromRelay = Given{From: []string{"bank.example"}, Policy: "reject", IP: netip.MustParseAddr("192.0.2.7")}

// failures runs the tests of rules.
func failures(t *testing.T, rules ...Rule) []string {
	t.Helper()
	set, err := NewRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range set.RunTests() {
		got = append(got, fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text()))
	}
	return got
}

func TestATestOfARuleComparesWhatItExpects(t *testing.T) {
	tests := []struct {
		name   string
		given  Given
		expect Expect
		want   string // of the failure; "" is none
	}{
		{"the rule decides", fromRelay, Expect{Rule: pointer("a"), Applied: "none", Reason: pointer(TrustedForwarder)}, ""},
		{"nothing is expected", fromRelay, Expect{}, ""},
		{"no rule is expected", fromRelay, Expect{Rule: pointer("")}, `expected rule ""; came rule "a" (`},
		{"another answer", fromRelay, Expect{Rule: pointer("a"), Applied: "reject", Reason: pointer(AsPublished)},
			`expected applied "reject", reason ""; came applied "none", reason "trusted_forwarder" (`},
		{"from elsewhere the policy applies", Given{From: []string{"bank.example"}, Policy: "reject"}, Expect{Rule: pointer(""), Applied: "reject", Reason: pointer(AsPublished)}, ""},
		{"and conformant does not reject for it alone", Given{Policy: "reject", Profile: Conformant}, Expect{Applied: "quarantine", Reason: pointer(LocalPolicy)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := failures(t, testedRule("a", Enforce, Test{tt.given, tt.expect, 7}))
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("RunTests = %q; want no failure", got)
			case tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], "f:7: "+tt.want)):
				t.Errorf("RunTests = %q; want f:7: %s…", got, tt.want)
			}
		})
	}
}

// An operator writes the test with the rule, which begins in shadow.
func TestARuleIsTestedAsIfItWereEnforcedAndTheOthersAsTheyAre(t *testing.T) {
	mine := Test{Given: fromRelay, Expect: Expect{Rule: pointer("b")}}
	for _, mode := range []Mode{Off, Shadow, Enforce} {
		sampled := testedRule("b", mode, mine)
		sampled.Sample = 1
		if got := failures(t, testedRule("a", Off), testedRule("c", Enforce), sampled, testedRule("a-2", Shadow)); len(got) > 0 {
			t.Errorf("RunTests of a rule that is %v = %q; want none", mode, got)
		}
		got := failures(t, testedRule("a", Enforce), testedRule("c", Enforce), sampled)
		if len(got) != 1 || !strings.Contains(got[0], `expected rule "b"; came rule "a" (`) || !strings.HasSuffix(got[0], "; also matched: b, c)") {
			t.Errorf("RunTests of a rule that is %v beside a better one = %q; want that it decides", mode, got)
		}
	}
}

// Which messages are drawn is nothing that a test could say.
func TestTestsDoNotDependOnDraws(t *testing.T) {
	few := testedRule("a", Enforce)
	few.Sample = 1
	if got := failures(t, few, testedRule("b", Enforce, Test{Given: fromRelay, Expect: Expect{Rule: pointer("a")}})); len(got) > 0 {
		t.Errorf("RunTests beside a rule for a sample = %q; want that it holds", got)
	}
	set, err := NewRules([]Rule{few})
	if err != nil {
		t.Fatal(err)
	}
	if set.RunTests(); set.List()[0].Sample != 1 {
		t.Error("RunTests changes the rules")
	}
}

func TestARuleThatSkipsReportsIsTestedForThat(t *testing.T) {
	r := testedRule("skip", Shadow,
		Test{Given: fromRelay, Expect: Expect{Rule: pointer("skip"), Applied: "none"}, Line: 1},
		Test{Given: Given{From: []string{"bank.example"}, Policy: "reject"}, Expect: Expect{Rule: pointer("skip")}, Line: 2},
	)
	r.Action, r.Reason = RuleSkipReport, ""
	got := failures(t, r, testedRule("a", Enforce))
	if len(got) != 1 || !strings.HasPrefix(got[0], `f:2: expected rule "skip"; came rule "" (`) {
		t.Errorf("RunTests = %q; want that the second message is reported", got)
	}
}

func TestATestSeesTheOtherRulesHoweverManyMatch(t *testing.T) {
	var rules []Rule
	for i := range 2 * MaxNamed {
		rules = append(rules, testedRule(fmt.Sprintf("a-%02d", i), Shadow))
	}
	rules = append(rules, testedRule("b", Enforce))
	rules = append(rules, testedRule("c", Shadow, Test{Given: fromRelay, Expect: Expect{Rule: pointer("b")}}))
	if got := failures(t, rules...); len(got) > 0 {
		t.Errorf("RunTests = %q; want none", got)
	}
}

func TestATestRunsOnTheDayOnWhichTheRuleWasCreated(t *testing.T) {
	decides := Expect{Rule: pointer("a")}
	later := fromRelay
	later.Time = time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)
	got := failures(t, testedRule("a", Enforce, Test{fromRelay, decides, 1}, Test{later, decides, 2}))
	if len(got) != 1 || !strings.HasPrefix(got[0], `f:2: expected rule "a"; came rule ""`) {
		t.Errorf("RunTests = %q; want that the rule has expired on the day of the second test", got)
	}
}

func TestGivenIsConcludedAboutAsMailIs(t *testing.T) {
	tests := []struct {
		name  string
		given Given
		want  string // status, aligned mechanisms and requested policy
	}{
		{"nothing", Given{}, "none"},
		{"a policy", Given{Policy: "reject"}, "fail reject"},
		{"SPF of the author domain passes", Given{Policy: "reject", SPF: "pass"}, "pass spf"},
		{"SPF of a name below", Given{From: []string{"bank.example"}, MailFrom: "mail.bank.example", Policy: "reject", SPF: "pass"}, "pass spf"},
		{"SPF of a stranger", Given{From: []string{"bank.example"}, MailFrom: "x.example", Policy: "reject", SPF: "pass"}, "fail reject"},
		{"SPF of HELO beside the null path", Given{From: []string{"bank.example"}, NullPath: true, Helo: "mx.bank.example", Policy: "reject", SPF: "pass"}, "pass spf"},
		{"a signature", Given{From: []string{"bank.example"}, Policy: "quarantine", DKIM: []string{"fail:bank.example", "pass:m.bank.example"}}, "pass dkim"},
		{"a signature of a stranger", Given{From: []string{"bank.example"}, Policy: "quarantine", DKIM: []string{"pass:x.example"}}, "fail quarantine"},
		{"a changed body", Given{From: []string{"bank.example"}, Policy: "none", DKIM: []string{"body:bank.example"}}, "fail none"},
		{"DNS fails", Given{Policy: "reject", Result: "temperror"}, "temperror"},
		{"a broken record", Given{Policy: "reject", Result: "permerror"}, "permerror"},
		{"a record above", Given{From: []string{"a.bank.example"}, PolicyDomain: "bank.example", Policy: "reject"}, "fail reject"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := tt.given.facts(time.Now()).Authors[0]
			got := []string{a.Verdict.Status.String()}
			if a.Verdict.AlignedSPF {
				got = append(got, "spf")
			}
			if a.Verdict.AlignedDKIM {
				got = append(got, "dkim")
			}
			if got[0] == "fail" {
				got = append(got, a.Verdict.Policy.String())
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("verdict = %q (%s); want %q", s, a.Verdict.Reason, tt.want)
			}
		})
	}
}

func TestGivenBecomesFacts(t *testing.T) {
	g := Given{
		From: []string{"a.example", "b.example"}, Policy: "reject", ARC: []string{"lists.example", "relay.example"},
		DKIM: []string{"body:mail.a.example"}, History: 60, TLS: true, ListHeaders: true, ListID: "lists.example", Automatic: true,
		Rcpt: []string{"r.example"}, Name: "mx.example", Listener: "mta",
	}
	f := g.facts(time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC))
	if f.From != FromSeveralDomains || f.Lacking() != 0 || f.Seed == 0 || !f.Time.Equal(time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("From %q, lacks %d, seed %d, time %v; want facts that lack nothing, at noon", f.From, f.Lacking(), f.Seed, f.Time)
	}
	if !f.TLS || !f.IsList || !f.Automatic || f.ListID != "lists.example" || f.ClientName != "mx.example" || f.Listener != "mta" || !slices.Equal(f.Recipients, g.Rcpt) {
		t.Errorf("facts = %+v; want what is given", f)
	}
	for i, signed := range []bool{true, false} {
		a := f.Authors[i]
		if got := len(a.Signers) > 0; got != signed || a.History.Messages != 60 || !slices.ContainsFunc(f.ARC.Sealers, a.passedAt) {
			t.Errorf("author %q: signers %q, history %d; want a signer: %v, 60, and a pass that a sealer recorded", a.Domain, a.Signers, a.History.Messages, signed)
		}
	}
	if s := f.DKIM[0]; s.Result != "fail" || !s.HeaderOK || s.SignedAt.IsZero() {
		t.Errorf("signature = %+v; want one that fails for the body alone", s)
	}
	if f := (Given{FromField: FromMissing}).facts(time.Now()); f.From != FromMissing || len(f.Authors) != 0 {
		t.Errorf("From %q with %d authors; want missing, and none", f.From, len(f.Authors))
	}
}
