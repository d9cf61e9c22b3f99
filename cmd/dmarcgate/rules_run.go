package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/ruletest"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

type rulesTestCmd struct {
	rulesFlags
	IDs     []string `arg:"" optional:"" name:"id" help:"Of these rules; of all without."`
	Days    int      `default:"7" help:"Of how many days stored messages are tried."`
	NoStore bool     `help:"Run the tests alone."`
}

// maxTestDays is our limit, the longest that results can be kept.
const maxTestDays = 3650

// Validate is called by kong; what it finds is a usage error.
func (c *rulesTestCmd) Validate() error {
	if c.Days < 1 || c.Days > maxTestDays {
		return fmt.Errorf("--days: %d is not 1 to %d", c.Days, maxTestDays)
	}
	return nil
}

// testOutcome is what became of one [[rule.test]].
type testOutcome struct {
	Line     int    `json:"line"`
	Green    bool   `json:"green"`
	Expected string `json:"expected"`
	Got      string `json:"got,omitempty"` // of a red one, as the next
	Reason   string `json:"reason,omitempty"`
}

// testedRule is a rule with its tests, and with what it would touch.
type testedRule struct {
	Rule  string        `json:"rule"`
	File  string        `json:"file"`
	Line  int           `json:"line"`
	Tests []testOutcome `json:"tests"`
	Touch *ruleTouch    `json:"touch,omitempty"` // nil without a store
}

// tested is what rules test prints.
type tested struct {
	Rules     []testedRule `json:"rules"`
	Red       int          `json:"red"`
	Days      int          `json:"days,omitempty"` // 0 without a store
	Messages  int64        `json:"messages,omitempty"`
	Elsewhere int64        `json:"other_listeners,omitempty"` // messages of listeners that are gone
	Monitored []string     `json:"monitored,omitempty"`       // listeners that are tried as strict
}

func (c *rulesTestCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	b, err := c.load()
	if err != nil {
		return err
	}
	chosen, err := b.choose(c.IDs)
	if err != nil {
		return err
	}
	out := tested{Rules: b.tests(chosen)}
	for _, r := range out.Rules {
		out.Red += red(r.Tests)
	}
	if !c.NoStore {
		if err := c.touch(ctx, e, b, chosen, &out); err != nil {
			return err
		}
	}
	if err := c.print(e, &out); err != nil {
		return err
	}
	if out.Red > 0 {
		return errRules{red: out.Red}
	}
	return nil
}

func red(tests []testOutcome) (n int) {
	for _, t := range tests {
		if !t.Green {
			n++
		}
	}
	return n
}

// tests runs the tests of the set, and returns those of some rules.
func (b *ruleBook) tests(chosen []policy.Rule) []testedRule {
	failures := ruletest.Run(b.set.Rules)
	out := []testedRule{}
	for _, r := range chosen {
		t := testedRule{Rule: r.ID, File: r.File, Line: r.Line, Tests: []testOutcome{}}
		for _, test := range r.Tests {
			o := testOutcome{Line: test.Line, Green: true, Expected: expected(test.Expect)}
			i := slices.IndexFunc(failures, func(f ruletest.Failure) bool { return f.Rule == r.ID && f.Line == test.Line })
			if i >= 0 {
				got := failures[i].Got
				o.Green, o.Got, o.Reason = false, gotten(got), got.Reason
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
	return fmt.Sprintf("rule %s, applied %s, reason %s", term.OrNone(d.Rule), applied, term.OrNone(string(d.Override)))
}

// touch adds what the rules would have done with the messages of the store.
func (c *rulesTestCmd) touch(ctx context.Context, e *env, b *ruleBook, chosen []policy.Rule, out *tested) error {
	store := b.openIfAny(ctx, e, c.rulesFlags)
	if store == nil {
		return nil
	}
	defer store.Close()
	t, err := newToucher(site.Site{Config: b.cfg}, b.set.Rules.List(), chosen)
	if err != nil {
		return err
	}
	span := results.Span{From: b.opts.Now.Add(-time.Duration(c.Days) * 24 * time.Hour)}
	if err := t.scan(ctx, store, span); err != nil {
		return err
	}
	for i, r := range out.Rules {
		out.Rules[i].Touch = t.asked[r.Rule]
	}
	out.Days, out.Messages, out.Elsewhere = c.Days, t.seen, t.elsewhere
	for _, l := range b.cfg.Listeners {
		if l.Profile == policy.Monitor {
			out.Monitored = append(out.Monitored, l.Name)
		}
	}
	return nil
}

func (c *rulesTestCmd) print(e *env, out *tested) error {
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(out)
	}
	for _, r := range out.Rules {
		root := &term.Node{Text: fmt.Sprintf("%s (%s:%d)", r.Rule, r.File, r.Line)}
		testNodes(root, r.Tests)
		if r.Touch != nil {
			r.Touch.nodes(root, out.Days)
		}
		if err := root.Print(e.stdout); err != nil {
			return err
		}
	}
	for _, l := range out.Monitored {
		fmt.Fprintf(e.stdout, "listener %s has the profile monitor: its messages are tried as under strict\n", l)
	}
	if out.Elsewhere > 0 {
		fmt.Fprintf(e.stdout, "%s of other listeners left out\n", term.Count(int(out.Elsewhere), "message"))
	}
	if out.Days > 0 {
		fmt.Fprintf(e.stdout, "%s of %s tried\n", term.Count(int(out.Messages), "message"), term.Count(out.Days, "day"))
	}
	n := 0
	for _, r := range out.Rules {
		n += len(r.Tests)
	}
	_, err := fmt.Fprintf(e.stdout, "%s, %d red\n", term.Count(n, "test"), out.Red)
	return err
}

// testNodes shows tests, and of red ones what came out.
func testNodes(root *term.Node, tests []testOutcome) {
	if len(tests) == 0 {
		root.Add("no test")
	}
	for _, t := range tests {
		if t.Green {
			root.Add("test at line %d: green: %s", t.Line, t.Expected)
			continue
		}
		n := root.Add("test at line %d: RED", t.Line)
		n.Add("expected %s", t.Expected)
		n.Add("got %s", t.Got)
		n.Add("because: %s", term.Printable(t.Reason))
	}
}
