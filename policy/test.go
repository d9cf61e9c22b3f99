package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Test says what the rules shall do with a message: a [[rule.test]] of a rule
// file.
type Test struct {
	Given  Given
	Expect Expect
	Line   int // of the rule's file
}

// Given is the message. What is not given is as in a message without anything
// special: one recipient, one author domain, nothing that passes.
type Given struct {
	From         []string   // author domains; none is "author.example"
	FromField    From       // what the From field gave, when that is not From
	Policy       string     // that each of them publishes: none, quarantine, reject; "" is no record
	PolicyDomain string     // where that record is; "" is at the author domain
	Result       string     // of DMARC, when it is not what SPF and DKIM below conclude: temperror or permerror
	IP           netip.Addr // of the client
	Name         string     // of the client, confirmed
	Helo         string
	MailFrom     string   // domain; "" is that of From
	NullPath     bool     // MAIL FROM:<>, of which SPF checks Helo
	Rcpt         []string // domains; none is "rcpt.example"
	Listener     string
	SPF          string   // its result: "pass", "fail", …; "" is none
	DKIM         []string // "pass:example.org": result and d= of each signature; result "body" is one whose body hash alone differs
	ARC          []string // sealers of a chain that passes, of which the first recorded that DMARC passed for From
	ListID       string
	ListHeaders  bool
	Automatic    bool
	TLS          bool
	History      int       // messages of the organization that were proved to be its own
	Time         time.Time // zero: noon of the day on which the rule was created
	Profile      Profile   // zero: strict, since rules only watch under monitor
}

// Expect is what shall come out. What is absent is not compared.
type Expect struct {
	Rule    *string   // id of the rule that decides, "" for none; in a test of a rule that skips reports, of the one that does so
	Applied string    // none, quarantine, reject or tempfail
	Reason  *Override // "" is as published
}

// TestFailure is a test that did not come out as it says.
type TestFailure struct {
	Rule     string // whose test it is
	File     string
	Line     int
	Got      Decision
	Expected Expect
	skips    bool // the rule skips reports
}

// Text says what was expected, what came, and by which rules, on one line.
func (f TestFailure) Text() string {
	var want, got []string
	compare := func(what, expected, came string) {
		if expected != came {
			want, got = append(want, fmt.Sprintf("%s %q", what, expected)), append(got, fmt.Sprintf("%s %q", what, came))
		}
	}
	if e := f.Expected; e.Rule != nil {
		compare("rule", *e.Rule, f.Got.named(f.skips))
	}
	if e := f.Expected; e.Applied != "" {
		compare("applied", e.Applied, f.Got.applied())
	}
	if e := f.Expected; e.Reason != nil {
		compare("reason", string(*e.Reason), string(f.Got.Override))
	}
	text := "expected " + strings.Join(want, ", ") + "; came " + strings.Join(got, ", ") + " (" + f.Got.Reason
	if len(f.Got.Also) > 0 {
		text += "; also matched: " + strings.Join(f.Got.Also, ", ")
	}
	return text + ")"
}

// named is the rule that a test is about: the one that decided, or the one that
// keeps the message out of reports.
func (d Decision) named(skips bool) string {
	if skips {
		return d.Unreported
	}
	return d.Rule
}

// applied is what was done, in the words of a test.
func (d Decision) applied() string {
	if d.Action == Tempfail {
		return "tempfail"
	}
	return d.Disposition.String()
}

func (e Expect) met(d Decision, skips bool) bool {
	return (e.Rule == nil || *e.Rule == d.named(skips)) && (e.Applied == "" || e.Applied == d.applied()) && (e.Reason == nil || *e.Reason == d.Override)
}

// RunTests runs the tests of all rules, and returns those that did not come out
// as they say.
//
// A test runs in the whole set. The rule that it belongs to counts as enforced,
// the others are as they are, and no rule with a sample is left out by a draw.
// Everything else is as by default: quarantine tags, and a domain whose own DNS
// fails gets tempfail. Domains belong together by the public suffix list built
// in, and alignment is relaxed.
func (rs Rules) RunTests() []TestFailure {
	drawn := rs.drawn()
	var failures []TestFailure
	for i := range rs.list {
		r := &rs.list[i]
		for _, t := range r.Tests {
			drawn.trying = i + 1
			d := t.Given.settings(drawn).Decide(t.Given.facts(r.Created))
			if skips := r.Action == RuleSkipReport; !t.Expect.met(d, skips) {
				failures = append(failures, TestFailure{Rule: r.ID, File: r.File, Line: t.Line, Got: d, Expected: t.Expect, skips: skips})
			}
		}
	}
	return failures
}

// drawn returns the rules without their samples, which the index does not look
// at.
func (rs Rules) drawn() Rules {
	rs.list = slices.Clone(rs.list)
	for i := range rs.list {
		rs.list[i].Sample = 0
	}
	return rs
}
