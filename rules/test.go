package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/ruletest"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// Trial says what Test tries.
type Trial struct {
	IDs  []string // of the rules; of all without any
	Days int      // of so many days stored messages are tried; 0 runs the tests alone
}

// testOutcome is what became of one [[rule.test]].
type testOutcome struct {
	Line     int    `json:"line"`
	Passed   bool   `json:"passed"`
	Expected string `json:"expected"`
	Got      string `json:"got,omitempty"` // of a failed one, as the next
	Why      string `json:"why,omitempty"`
}

// testedRule is a rule with its tests, and with what it would affect.
type testedRule struct {
	Rule   string        `json:"rule"`
	File   string        `json:"file"`
	Line   int           `json:"line"`
	Tests  []testOutcome `json:"tests"`
	Impact *impact       `json:"impact,omitempty"` // nil without a store
}

// tested is what rules test prints.
type tested struct {
	Rules     []testedRule `json:"rules"`
	Failed    int          `json:"failed"`
	Days      int          `json:"days,omitempty"` // 0 without a store
	Messages  int64        `json:"messages,omitempty"`
	Elsewhere int64        `json:"other_listeners,omitempty"` // messages of listeners that are gone
	Monitored []string     `json:"monitored,omitempty"`       // listeners that are tried as strict
}

// Test runs the tests of rules and prints what came out, with the stored messages
// that each rule would change. A test that fails is an error, which counts them.
func Test(ctx context.Context, out io.Writer, o Options, t Trial) error {
	b, err := load(o)
	if err != nil {
		return err
	}
	chosen, err := b.choose(t.IDs)
	if err != nil {
		return err
	}
	found := tested{Rules: b.tests(chosen)}
	for _, r := range found.Rules {
		found.Failed += failedTests(r.Tests)
	}
	if t.Days > 0 {
		if err := b.impacts(ctx, chosen, t.Days, &found); err != nil {
			return err
		}
	}
	if err := found.print(out, o.JSON); err != nil {
		return err
	}
	if found.Failed > 0 {
		return errRules{failed: found.Failed}
	}
	return nil
}

func failedTests(tests []testOutcome) (n int) {
	for _, t := range tests {
		if !t.Passed {
			n++
		}
	}
	return n
}

// tests runs the tests of the set, and returns those of some rules.
func (b *book) tests(chosen []policy.Rule) []testedRule {
	failures := ruletest.Run(b.set.Rules)
	out := []testedRule{}
	for _, r := range chosen {
		t := testedRule{Rule: r.ID, File: r.File, Line: r.Line, Tests: []testOutcome{}}
		for _, test := range r.Tests {
			o := testOutcome{Line: test.Line, Passed: true, Expected: expected(test.Expect)}
			i := slices.IndexFunc(failures, func(f ruletest.Failure) bool { return f.Rule == r.ID && f.Line == test.Line })
			if i >= 0 {
				got := failures[i].Got
				o.Passed, o.Got, o.Why = false, gotten(got), got.Why
			}
			t.Tests = append(t.Tests, o)
		}
		out = append(out, t)
	}
	return out
}

// expected puts an expectation into words.
func expected(x policy.Expect) string {
	var words []string
	if x.Rule != nil {
		words = append(words, "rule "+term.OrNone(*x.Rule))
	}
	if x.Applied != "" {
		words = append(words, "applied "+x.Applied)
	}
	if x.Reason != nil {
		words = append(words, "reason "+term.OrNone(string(*x.Reason)))
	}
	return strings.Join(words, ", ")
}

// gotten puts a decision into the words of expected.
func gotten(d policy.Decision) string {
	applied := d.Disposition.String()
	if d.Action == policy.Tempfail {
		applied = "tempfail"
	}
	return fmt.Sprintf("rule %s, applied %s, reason %s", term.OrNone(d.Rule), applied, term.OrNone(string(d.Reason)))
}

// impacts adds what the rules would have done with the messages of the store.
func (b *book) impacts(ctx context.Context, chosen []policy.Rule, days int, out *tested) error {
	store := b.openIfAny(ctx)
	if store == nil {
		return nil
	}
	defer store.Close()
	t, err := newMeter(site.Site{Config: b.cfg}, b.set.Rules, chosen)
	if err != nil {
		return err
	}
	t.progress = b.ask.Progress
	span := results.Span{From: b.opts.Now.Add(-time.Duration(days) * 24 * time.Hour)}
	if err := t.scan(ctx, store, span); err != nil {
		return err
	}
	for i, r := range out.Rules {
		out.Rules[i].Impact = t.impacts[r.Rule]
	}
	out.Days, out.Messages, out.Elsewhere = days, t.seen, t.elsewhere
	for _, l := range b.cfg.Listeners {
		if l.Profile == policy.Monitor {
			out.Monitored = append(out.Monitored, l.Name)
		}
	}
	return nil
}

func (t *tested) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(t)
	}
	for _, r := range t.Rules {
		root := &term.Node{Text: fmt.Sprintf("%s (%s:%d)", r.Rule, r.File, r.Line)}
		testNodes(root, r.Tests)
		if r.Impact != nil {
			r.Impact.nodes(root, t.Days)
		}
		if err := root.Print(w); err != nil {
			return err
		}
	}
	for _, l := range t.Monitored {
		fmt.Fprintf(w, "listener %s has the profile monitor: messages are tried under strict\n", l)
	}
	if t.Elsewhere > 0 {
		fmt.Fprintf(w, "%s of other listeners left out\n", term.Count(int(t.Elsewhere), "message"))
	}
	if t.Days > 0 {
		fmt.Fprintf(w, "%s of %s tried\n", term.Count(int(t.Messages), "message"), term.Count(t.Days, "day"))
	}
	n := 0
	for _, r := range t.Rules {
		n += len(r.Tests)
	}
	_, err := fmt.Fprintf(w, "%s, %d failed\n", term.Count(n, "test"), t.Failed)
	return err
}

// testNodes shows tests, and of failed ones what came out.
func testNodes(root *term.Node, tests []testOutcome) {
	if len(tests) == 0 {
		root.Add("no test")
	}
	for _, t := range tests {
		if t.Passed {
			root.Add("test at line %d: PASS: %s", t.Line, t.Expected)
			continue
		}
		n := root.Add("test at line %d: FAIL", t.Line)
		n.Add("expected %s", t.Expected)
		n.Add("got %s", t.Got)
		n.Add("why: %s", term.Printable(t.Why))
	}
}
