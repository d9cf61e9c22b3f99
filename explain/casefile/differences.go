package casefile

import (
	"fmt"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/term"
)

// differences says in words what a copy lost in another passage.
func differences(before, after Outcome) []string {
	var out []string
	note := func(what, a, b string) {
		if a != b {
			out = append(out, fmt.Sprintf("%s was %s, and is %s here", what, term.OrNone(a), term.OrNone(b)))
		}
	}
	f, g := before.Facts, after.Facts
	note("From", string(f.FromField), string(g.FromField))
	note("SPF", f.SPF.Result, g.SPF.Result)
	for i := range max(len(f.DKIM), len(g.DKIM)) {
		note(fmt.Sprintf("DKIM signature %d", i+1), signatureWords(f.DKIM, i), signatureWords(g.DKIM, i))
	}
	note("ARC", f.ARC.Result, g.ARC.Result)
	for i := range max(len(f.Authors), len(g.Authors)) {
		note(fmt.Sprintf("DMARC result %d", i+1), authorWords(f.Authors, i), authorWords(g.Authors, i))
	}
	note("the reason for not evaluating it", string(f.Skip), string(g.Skip))
	d, e := before.Decision, after.Decision
	note("the action", d.Action.String(), e.Action.String())
	note("the disposition", d.Disposition.String(), e.Disposition.String())
	note("the reason", string(d.Reason), string(e.Reason))
	note("the evidence", string(d.Evidence), string(e.Evidence))
	note("the rule", d.Rule, e.Rule)
	note("the rule that keeps it out of reports", d.Unreported, e.Unreported)
	note("the list of other rules that matched", strings.Join(d.Also, ", "), strings.Join(e.Also, ", "))
	note("the list of rules in shadow", shadowWords(d.Shadow), shadowWords(e.Shadow))
	return out
}

func shadowWords(list []policy.ShadowDecision) string {
	var out []string
	for _, s := range list {
		out = append(out, s.Rule+" "+s.Action.String())
	}
	return strings.Join(out, ", ")
}

func signatureWords(list []policy.DKIM, i int) string {
	if i >= len(list) {
		return ""
	}
	s := list[i]
	return fmt.Sprintf("%s (d=%s, %s)", s.Result, term.OrNone(s.Domain), s.Why)
}

func authorWords(list []policy.Author, i int) string {
	if i >= len(list) {
		return ""
	}
	return list[i].Verdict.Status.String() + " for " + list[i].Domain
}
