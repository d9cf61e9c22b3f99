package casefile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/term"
)

// wants collects the lines of a want section.
type wants struct{ strings.Builder }

func (w *wants) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// want says what must come of the case. What hangs on a draw under a
// secret that is not in it is left out.
func want(y Outcome, drawn bool) string {
	w, f := &wants{}, y.Facts
	if f.Skip != policy.Evaluated {
		w.line("skip %s", f.Skip)
		w.line("action %s", y.Decision.Action)
		return w.String()
	}
	open := drawsOpen(f, drawn)
	if f.UnknownClient != policy.ClientKnown {
		w.line("unknown_client %s", f.UnknownClient)
	} else {
		w.line("client %s", f.Client)
	}
	w.line("from_field %s", f.FromField)
	w.mechanisms(f)
	for i, a := range f.Authors {
		text := fmt.Sprintf("dmarc=%s header.from=%s", a.Verdict.Status, a.Domain)
		if a.PolicyDomain != "" {
			text += " p=" + a.Verdict.Policy.String()
			if !open {
				text += " policy.dmarc=" + y.Decision.Effective[i].Applied.String()
			}
		}
		w.line("%s", text)
	}
	if !open {
		w.decision(y)
	}
	return w.String()
}

// drawsOpen reports whether a decision depends on a draw for pct, where pct
// counts.
func drawsOpen(f policy.Facts, counts bool) bool {
	return counts && slices.ContainsFunc(f.Authors, func(a policy.Author) bool {
		v := a.Verdict
		return v.Status == dmarc.Fail && v.Policy != dmarc.None && !v.Testing && v.Pct > 0 && v.Pct < 100
	})
}

func (w *wants) decision(y Outcome) {
	d := y.Decision
	w.line("disposition %s", d.Disposition)
	w.line("action %s", d.Action)
	w.line("reason %s", term.OrNone(string(d.Reason)))
	w.line("rule %s", term.OrNone(d.Rule))
	if d.Unreported != "" {
		w.line("unreported %s", d.Unreported)
	}
	if len(d.Also) > 0 {
		w.line("also %s", strings.Join(d.Also, ", "))
	}
	if len(d.Shadow) > 0 {
		w.line("shadow %s", shadowWords(d.Shadow))
	}
	reply := strings.Fields(y.Reply)
	w.line("reply %s", strings.Join(reply[:min(len(reply), 2)], " "))
	if result := y.Facts.ARC.Result; result != "" && result != "not_checked" && len(reply) == 1 {
		w.line("results arc=%s", y.Facts.ARC.Result)
	}
}

// plainWord is what stands in a result as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

func (w *wants) mechanisms(f policy.Facts) {
	identity := "smtp.mailfrom="
	if f.NullPath {
		identity = "smtp.helo="
	}
	text := "spf=" + f.SPF.Result
	if f.SPF.Domain != "" {
		text += " " + identity + f.SPF.Domain
	}
	w.line("%s", text)
	if len(f.DKIM) == 0 {
		w.line("dkim=none")
	}
	for _, s := range f.DKIM {
		text := "dkim=" + s.Result
		for _, p := range []struct{ name, value string }{{"d", s.Domain}, {"s", s.Selector}, {"a", s.Algorithm}} {
			if plainWord.MatchString(p.value) {
				text += " header." + p.name + "=" + p.value
			}
		}
		w.line("%s", text)
	}
}
