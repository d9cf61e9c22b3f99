package rules

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dmarcgate/config/rulefile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/ruletest"
	"dmarcgate/site"
	"dmarcgate/term"
)

// explained is what is said of a rule.
type explained struct {
	ID       string            `json:"id"`
	Mode     policy.Mode       `json:"mode"`
	Action   policy.RuleAction `json:"action"`
	File     string            `json:"file"`
	Line     int               `json:"line"`
	TOML     string            `json:"toml"`
	Effect   []string          `json:"effect"`   // sentences
	Openings []opening         `json:"openings"` // who can use it, the easiest first
	Untried  int               `json:"untried,omitempty"`
	Findings []site.Remark     `json:"findings"`
}

// opening is a third party that can use a rule.
type opening struct {
	Who       string        `json:"who"`
	How       []string      `json:"how"`
	Otherwise policy.Action `json:"otherwise"` // what its message is answered with without the rule
	Answer    policy.Action `json:"answer"`
	Hidden    bool          `json:"hidden,omitempty"` // its message is left out of reports
	Profile   string        `json:"profile"`
	Spoof     string        `json:"spoof"` // a [[rule.test]]
}

// Explain says in words what a rule does, and who can use it. Rules that lint
// refuses are explained, too. What is printed is TOML: the rule with comments, and
// its spoofs as tests that pass.
func (o Options) Explain(out io.Writer, id string) error {
	b, err := locate(o)
	if err != nil {
		return err
	}
	if err := b.loadUnlinted(); err != nil {
		return err
	}
	chosen, err := b.choose([]string{id})
	if err != nil {
		return err
	}
	r, all := chosen[0], b.set.Rules.List()
	found, untried, err := lint.Openings(all, r.ID, b.opts.Now)
	if err != nil {
		return err
	}
	x := explained{ID: r.ID, Mode: r.Mode, Action: r.Action, File: r.File, Line: r.Line, TOML: rulefile.Text(r), Effect: b.effect(r), Openings: []opening{}, Untried: untried}
	tests := newSpoofTests(b.set.Rules)
	for _, f := range found {
		x.Openings = append(x.Openings, opening{f.Who, append([]string{}, f.How...), f.From, f.To, f.Hides, f.Profile.String(), tests.text(r.ID, &f.Spoof)})
	}
	own := slices.DeleteFunc(lint.Rules(all, b.opts.Options), func(f policy.Finding) bool { return f.Rule != r.ID })
	x.Findings = tests.remarks(own)
	if o.JSON {
		return json.NewEncoder(out).Encode(x)
	}
	return x.print(out)
}

// loadUnlinted reads the rules, whatever lint says of them.
func (b *book) loadUnlinted() (err error) {
	o := b.opts
	o.SkipTests, o.SkipLint = true, true
	b.set, err = site.LoadRules(b.cfg, b.dir, o)
	return err
}

// spoofTests writes spoofs as tests of rules.
type spoofTests struct {
	drawn policy.Rules
	rules map[string]policy.Rule
}

func newSpoofTests(rules policy.Rules) *spoofTests {
	t := &spoofTests{drawn: ruletest.Drawn(rules), rules: make(map[string]policy.Rule)}
	for _, r := range rules.List() {
		t.rules[r.ID] = r
	}
	return t
}

// text writes a test that passes among the rules as they are. The time of the message
// is what it is without one, where nothing depends on it.
func (t *spoofTests) text(id string, g *policy.Given) string {
	r, ok := t.rules[id]
	if g == nil || !ok {
		return ""
	}
	given := *g
	expect := ruletest.Expected(t.drawn, r, given)
	if given.Time = (time.Time{}); r.Match.Hours != nil || r.Match.Weekdays != nil || !same(ruletest.Expected(t.drawn, r, given), expect) {
		given.Time = g.Time
	}
	return rulefile.TestText(policy.Test{Given: given, Expect: expect})
}

func same(a, b policy.Expect) bool { return *a.Rule == *b.Rule && a.Applied == b.Applied }

// remarks puts findings into words, with their spoofs.
func (t *spoofTests) remarks(findings []policy.Finding) []site.Remark {
	list := site.Remarks(findings)
	for i, f := range findings {
		list[i].Spoof = t.text(f.Rule, f.Spoof)
	}
	return list
}

// effects say what the actions do with a message that matches.
var effects = map[policy.RuleAction]string{
	policy.RuleAccept:      "delivers the message, whatever policy the domain's owner publishes",
	policy.RuleTag:         "delivers the message with the quarantine header field, whatever the listener does in quarantine",
	policy.RuleQuarantine:  "quarantines the message, whatever policy the domain's owner publishes",
	policy.RuleReject:      "refuses the message for good, whatever policy the domain's owner publishes",
	policy.RuleTempfail:    "defers the message each time that it comes",
	policy.RuleAsPublished: "treats the message as the domain's owner asks, as in the profile strict",
	policy.RuleSkipReport:  "leaves the message out of reports to the domain's owner, and decides nothing",
}

// effect says what r does, and when.
func (b *book) effect(r policy.Rule) []string {
	does := effects[r.Action]
	if does == "" {
		does = "has the action " + r.Action.String()
	}
	sentences := []string{"The rule " + does + "."}
	results := r.Match.Result
	if results == nil {
		results = []string{"fail"}
	}
	sentences = append(sentences, "It is about mail with the DMARC result "+strings.Join(results, " or ")+" for which all keys of the match hold.")
	switch r.Mode {
	case policy.Off:
		sentences = append(sentences, "It is off: what follows is about the rule as if it were enforced.")
	case policy.Shadow:
		sentences = append(sentences, "It is in shadow mode and changes no answer yet: what follows is about the rule as if it were enforced.")
	}
	if r.Sample > 0 && r.Sample < 100 {
		sentences = append(sentences, fmt.Sprintf("It is for %d %% of the messages; who sends again comes into this share sooner or later.", r.Sample))
	}
	if r.Expired(b.opts.Now) {
		return append(sentences, "It has expired and matches nothing.")
	}
	return append(sentences, "It expires: "+expiry(r.Expires, b.opts.Now)+".")
}

// nobody is said where no opening was found.
const nobody = "No third party was found that can use this rule."

func (x *explained) print(w io.Writer) error {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, "# "+format+"\n", args...) }
	say("%s:%d", x.File, x.Line)
	for _, s := range x.Effect {
		say("%s", s)
	}
	b.WriteString(x.TOML + "\n")
	if len(x.Openings) == 0 {
		say("%s", nobody)
	}
	for _, o := range x.Openings {
		say("Who can use it: %s.", term.Printable(o.Who))
		for _, how := range o.How {
			say("- %s", term.Printable(how))
		}
		if o.Hidden {
			say("Failing mail is then left out of reports.")
		} else {
			say("A message that is answered with %v otherwise is answered with %v (profile %s):", o.Otherwise, o.Answer, o.Profile)
		}
		b.WriteString(o.Spoof + "\n")
	}
	if x.Untried > 0 {
		say("%s of long lists were not tried each.", term.Count(x.Untried, "item"))
	}
	for _, f := range x.Findings {
		say("%s", term.Printable(f.String()))
		if f.Spoof != "" && !x.shown(f.Spoof) {
			b.WriteString(f.Spoof + "\n")
		}
	}
	_, err := io.WriteString(w, strings.TrimSuffix(b.String(), "\n")+"\n")
	return err
}

// shown reports whether a test is printed with an opening.
func (x *explained) shown(spoof string) bool {
	return slices.ContainsFunc(x.Openings, func(o opening) bool { return o.Spoof == spoof })
}
