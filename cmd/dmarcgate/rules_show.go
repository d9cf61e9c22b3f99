package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"dmarcgate/config/rulefile"
	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/site"
	"dmarcgate/term"
)

type rulesShowCmd struct {
	rulesFlags
	ID string `arg:"" help:"Id of the rule."`
}

// shownRule is everything about a rule.
type shownRule struct {
	ruleLine
	TOML     string        `json:"toml"`
	Findings []site.Remark `json:"findings"`
	Tests    []testOutcome `json:"tests"`
}

func (c *rulesShowCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	b, err := c.load()
	if err != nil {
		return err
	}
	chosen, err := b.choose([]string{c.ID})
	if err != nil {
		return err
	}
	uses, err := b.uses(ctx, e, c.rulesFlags)
	if err != nil {
		return err
	}
	r := chosen[0]
	own := slices.DeleteFunc(slices.Clone(b.set.Findings), func(f policy.Finding) bool { return f.Rule != r.ID })
	shown := shownRule{ruleLine: b.line(r, uses), TOML: ruleText(r), Findings: site.Remarks(own), Tests: b.tests(chosen)[0].Tests}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(shown)
	}
	return shown.print(e.stdout, b)
}

func (s *shownRule) print(w io.Writer, b *ruleBook) error {
	fmt.Fprintf(w, "# %s:%d\n%s", s.File, s.Line, s.TOML)
	root := &term.Node{Text: "rule " + s.ID}
	root.Add("expires: %s", expiry(s.Expires, b.opts.Now))
	for _, f := range s.Findings {
		root.Add("%s", f)
	}
	testNodes(root, s.Tests)
	switch u := s.Use; {
	case u == nil:
		root.Add("use: not known without a store")
	case u.Matches == 0:
		root.Add("use: no message yet")
	default:
		root.Add("use: %s since %s, last %s, %d within 24 hours", term.Count(int(u.Matches), "message"), lastSeen(u.First), lastSeen(u.Last), u.Day)
	}
	return root.Print(w)
}

// ruleText writes a rule with its tests as a rule file has it.
func ruleText(r policy.Rule) string {
	doc := rulefile.Table(r)
	if len(r.Match.Listener) > 0 {
		doc["match"].(map[string]any)["listener"] = r.Match.Listener
	}
	var b strings.Builder
	b.WriteString(tomlfile.Write(map[string]any{"rule": []map[string]any{doc}}))
	for _, t := range r.Tests {
		fmt.Fprintf(&b, "\n[[rule.test]]\ngiven  = %s\nexpect = %s\n", inlineGiven(t.Given), inlineExpect(t.Expect))
	}
	return b.String()
}
