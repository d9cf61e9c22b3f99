package ruletest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

func pointer[T any](v T) *T { return &v }

// testedRule is a rule that lets the mail of a forwarder in.
func testedRule(id string, mode policy.Mode, tests ...policy.Test) policy.Rule {
	return policy.Rule{
		ID: id, Owner: "o", Created: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), Expires: time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC),
		Mode: mode, Action: policy.RuleAccept, Reason: policy.TrustedForwarder, Priority: 100,
		Match: policy.Match{Client: []pattern.Network{pattern.NetworkOf(netip.MustParsePrefix("192.0.2.0/24"))}},
		Tests: tests, File: "f",
	}
}

var fromRelay = policy.Given{Author: []string{"bank.example"}, Policy: "reject", Client: netip.MustParseAddr("192.0.2.7")}

// failures runs the tests of rules.
func failures(t *testing.T, rules ...policy.Rule) []string {
	t.Helper()
	set, err := policy.NewRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range Run(set) {
		got = append(got, fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text()))
	}
	return got
}

func TestRunTestsComparesExpectation(t *testing.T) {
	tests := []struct {
		name   string
		given  policy.Given
		expect policy.Expect
		want   string // of the failure; "" is none
	}{
		{"the rule decides", fromRelay, policy.Expect{Rule: pointer("a"), Applied: "none", Reason: pointer(policy.TrustedForwarder)}, ""},
		{"nothing is expected", fromRelay, policy.Expect{}, ""},
		{"a domain whose DNS fails", policy.Given{Result: "temperror"}, policy.Expect{Applied: "tempfail"}, ""},
		{"no rule is expected", fromRelay, policy.Expect{Rule: pointer("")}, `expected rule ""; came rule "a" (`},
		{"another answer", fromRelay, policy.Expect{Rule: pointer("a"), Applied: "reject", Reason: pointer(policy.AsPublished)},
			`expected applied "reject", reason ""; came applied "none", reason "trusted_forwarder" (`},
		{"from elsewhere the policy applies", policy.Given{Author: []string{"bank.example"}, Policy: "reject"}, policy.Expect{Rule: pointer(""), Applied: "reject", Reason: pointer(policy.AsPublished)}, ""},
		{"and conformant does not reject for it alone", policy.Given{Policy: "reject", Profile: policy.Conformant}, policy.Expect{Applied: "quarantine", Reason: pointer(policy.LocalPolicy)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := failures(t, testedRule("a", policy.Enforce, policy.Test{Given: tt.given, Expect: tt.expect, Line: 7}))
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("Run = %q; want no failure", got)
			case tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], "f:7: "+tt.want)):
				t.Errorf("Run = %q; want f:7: %s…", got, tt.want)
			}
		})
	}
}

// An operator writes the test with the rule, which begins in shadow.
func TestRunTestsEnforcesTestedRuleOnly(t *testing.T) {
	mine := policy.Test{Given: fromRelay, Expect: policy.Expect{Rule: pointer("b")}}
	for _, mode := range []policy.Mode{policy.Off, policy.Shadow, policy.Enforce} {
		sampled := testedRule("b", mode, mine)
		sampled.Sample = 1
		if got := failures(t, testedRule("a", policy.Off), testedRule("c", policy.Enforce), sampled, testedRule("a-2", policy.Shadow)); len(got) > 0 {
			t.Errorf("Run of a rule that is %v = %q; want none", mode, got)
		}
		got := failures(t, testedRule("a", policy.Enforce), testedRule("c", policy.Enforce), sampled)
		if len(got) != 1 || !strings.Contains(got[0], `expected rule "b"; came rule "a" (`) || !strings.HasSuffix(got[0], "; also matched: b, c)") {
			t.Errorf("Run of a rule that is %v beside a better one = %q; want that it decides", mode, got)
		}
	}
}

// Which messages are drawn is nothing that a test could say.
func TestRunTestsIgnoresDraws(t *testing.T) {
	few := testedRule("a", policy.Enforce)
	few.Sample = 1
	if got := failures(t, few, testedRule("b", policy.Enforce, policy.Test{Given: fromRelay, Expect: policy.Expect{Rule: pointer("a")}})); len(got) > 0 {
		t.Errorf("Run beside a rule for a sample = %q; want that it holds", got)
	}
	set, err := policy.NewRules([]policy.Rule{few})
	if err != nil {
		t.Fatal(err)
	}
	if Run(set); set.List()[0].Sample != 1 {
		t.Error("Run changes the rules")
	}
}

func TestRunTestsOfSkipReportRule(t *testing.T) {
	r := testedRule("skip", policy.Shadow,
		policy.Test{Given: fromRelay, Expect: policy.Expect{Rule: pointer("skip"), Applied: "none"}, Line: 1},
		policy.Test{Given: policy.Given{Author: []string{"bank.example"}, Policy: "reject"}, Expect: policy.Expect{Rule: pointer("skip")}, Line: 2},
	)
	r.Action, r.Reason = policy.RuleSkipReport, ""
	got := failures(t, r, testedRule("a", policy.Enforce))
	if len(got) != 1 || !strings.HasPrefix(got[0], `f:2: expected rule "skip"; came rule "" (`) {
		t.Errorf("Run = %q; want that the second message is reported", got)
	}
}

func TestRunTestsSeesAllMatchingRules(t *testing.T) {
	var rules []policy.Rule
	for i := range 2 * policy.MaxNamed {
		rules = append(rules, testedRule(fmt.Sprintf("a-%02d", i), policy.Shadow))
	}
	rules = append(rules, testedRule("b", policy.Enforce))
	rules = append(rules, testedRule("c", policy.Shadow, policy.Test{Given: fromRelay, Expect: policy.Expect{Rule: pointer("b")}}))
	if got := failures(t, rules...); len(got) > 0 {
		t.Errorf("Run = %q; want none", got)
	}
}

func TestRunTestsUsesDayOfCreation(t *testing.T) {
	decides := policy.Expect{Rule: pointer("a")}
	later := fromRelay
	later.Time = time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)
	got := failures(t, testedRule("a", policy.Enforce, policy.Test{Given: fromRelay, Expect: decides, Line: 1}, policy.Test{Given: later, Expect: decides, Line: 2}))
	if len(got) != 1 || !strings.HasPrefix(got[0], `f:2: expected rule "a"; came rule ""`) {
		t.Errorf("Run = %q; want that the rule has expired on the day of the second test", got)
	}
}

func TestGivenIsEvaluatedLikeMail(t *testing.T) {
	tests := []struct {
		name  string
		given policy.Given
		want  string // status, aligned mechanisms and requested policy
	}{
		{"nothing", policy.Given{}, "none"},
		{"a policy", policy.Given{Policy: "reject"}, "fail reject"},
		{"SPF of the author domain passes", policy.Given{Policy: "reject", SPF: "pass"}, "pass spf"},
		{"SPF of a name below", policy.Given{Author: []string{"bank.example"}, MailFrom: "mail.bank.example", Policy: "reject", SPF: "pass"}, "pass spf"},
		{"SPF of a stranger", policy.Given{Author: []string{"bank.example"}, MailFrom: "x.example", Policy: "reject", SPF: "pass"}, "fail reject"},
		{"SPF of HELO beside the null path", policy.Given{Author: []string{"bank.example"}, NullPath: true, Helo: "mx.bank.example", Policy: "reject", SPF: "pass"}, "pass spf"},
		{"a signature", policy.Given{Author: []string{"bank.example"}, Policy: "quarantine", DKIM: []string{"fail:bank.example", "pass:m.bank.example"}}, "pass dkim"},
		{"a signature of a stranger", policy.Given{Author: []string{"bank.example"}, Policy: "quarantine", DKIM: []string{"pass:x.example"}}, "fail quarantine"},
		{"a changed body", policy.Given{Author: []string{"bank.example"}, Policy: "none", DKIM: []string{"body:bank.example"}}, "fail none"},
		{"DNS fails", policy.Given{Policy: "reject", Result: "temperror"}, "temperror"},
		{"a broken record", policy.Given{Policy: "reject", Result: "permerror"}, "permerror"},
		{"a record above", policy.Given{Author: []string{"a.bank.example"}, PolicyDomain: "bank.example", Policy: "reject"}, "fail reject"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := Facts(tt.given, time.Now()).Authors[0]
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
				t.Errorf("verdict = %q (%s); want %q", s, a.Verdict.Why, tt.want)
			}
		})
	}
}

func TestGivenBecomesFacts(t *testing.T) {
	g := policy.Given{
		Author: []string{"a.example", "b.example"}, Policy: "reject", ARC: []string{"lists.example", "relay.example"},
		DKIM: []string{"body:mail.a.example"}, History: 60, TLS: true, ListHeaders: true, ListID: "lists.example", Automatic: true,
		Rcpt: []string{"r.example"}, Name: "mx.example", Listener: "mta",
	}
	f := Facts(g, time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC))
	if f.FromField != policy.FromSeveralDomains || f.AllMissing() != 0 || f.Seed == 0 || !f.Time.Equal(time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("From %q, lacks %d, seed %d, time %v; want facts that lack nothing, at noon", f.FromField, f.AllMissing(), f.Seed, f.Time)
	}
	if !f.TLS || !f.IsList || !f.Automatic || f.ListID != "lists.example" || f.ClientName != "mx.example" || f.Listener != "mta" || !slices.Equal(f.Recipients, g.Rcpt) {
		t.Errorf("facts = %+v; want what is given", f)
	}
	for i, signed := range []bool{true, false} {
		a := f.Authors[i]
		recorded := func(s policy.Sealer) bool {
			return slices.Contains(s.Recorded, policy.Recorded{Method: "dmarc", Result: "pass", Domain: a.Domain})
		}
		if got := len(a.Signers) > 0; got != signed || a.History.Messages != 60 || !slices.ContainsFunc(f.ARC.Sealers, recorded) {
			t.Errorf("author %q: signers %q, history %d; want a signer: %v, 60, and a pass that a sealer recorded", a.Domain, a.Signers, a.History.Messages, signed)
		}
	}
	if s := f.DKIM[0]; s.Result != "fail" || !s.HeaderOK || s.SignedAt.IsZero() {
		t.Errorf("signature = %+v; want one that fails for the body alone", s)
	}
	if f := Facts(policy.Given{FromField: policy.FromMissing}, time.Now()); f.FromField != policy.FromMissing || len(f.Authors) != 0 {
		t.Errorf("From %q with %d authors; want missing, and none", f.FromField, len(f.Authors))
	}
}

func TestGivenBecomesRecordsAndSignatures(t *testing.T) {
	for _, tt := range []struct {
		name           string
		given          policy.Given
		record, source string
	}{
		{"no policy", policy.Given{Author: []string{"a.bank.example"}}, "", "none"},
		{"a policy", policy.Given{Author: []string{"a.bank.example"}, Policy: "none"}, "v=DMARC1; p=none", "author"},
		{"a policy above", policy.Given{Author: []string{"a.bank.example"}, Policy: "none", PolicyDomain: "bank.example"}, "v=DMARC1; p=none", "org"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := Facts(tt.given, time.Now())
			if a := f.Authors[0]; f.FromField != policy.FromOneMailbox || a.Record != tt.record || a.Source != tt.source {
				t.Errorf("From %q, record %q from %q; want one mailbox, %q from %q", f.FromField, a.Record, a.Source, tt.record, tt.source)
			}
		})
	}
	for result, want := range map[string]bool{"pass": true, "body": true, "fail": false} {
		if s := signatures(policy.Given{DKIM: []string{result + ":a.example"}}, time.Now())[0]; s.HeaderOK != want || s.KeyBits != 2048 {
			t.Errorf("signature %q = %+v; want that its header is right: %v, and a key of 2048 bits", result, s, want)
		}
	}
}

func TestFailureTextNamesOneRuleThatMatchedToo(t *testing.T) {
	mine := policy.Test{Given: fromRelay, Expect: policy.Expect{Rule: pointer("b")}}
	got := failures(t, testedRule("a", policy.Enforce), testedRule("b", policy.Enforce, mine))
	if len(got) != 1 || !strings.HasSuffix(got[0], "; also matched: b)") {
		t.Errorf("Run = %q; want that b matched, too", got)
	}
}
