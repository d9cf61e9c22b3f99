package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"dmarcgate/config/rulefile"
	"dmarcgate/policy"
	"dmarcgate/site"
	"dmarcgate/term"
)

// shownRule is everything about a rule.
type shownRule struct {
	ruleLine
	TOML     string        `json:"toml"`
	Findings []site.Remark `json:"findings"`
	Tests    []testOutcome `json:"tests"`
}

// Show prints a rule: its text, what is said of it, its tests and its use.
func Show(ctx context.Context, out io.Writer, o Options, id string) error {
	b, err := load(o)
	if err != nil {
		return err
	}
	chosen, err := b.choose([]string{id})
	if err != nil {
		return err
	}
	uses, err := b.uses(ctx)
	if err != nil {
		return err
	}
	r := chosen[0]
	own := slices.DeleteFunc(slices.Clone(b.set.Findings), func(f policy.Finding) bool { return f.Rule != r.ID })
	shown := shownRule{ruleLine: b.line(r, uses), TOML: rulefile.Text(r), Findings: site.Remarks(own), Tests: b.tests(chosen)[0].Tests}
	if o.JSON {
		return json.NewEncoder(out).Encode(shown)
	}
	return shown.print(out, b)
}

func (s *shownRule) print(w io.Writer, b *book) error {
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
