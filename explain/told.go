package explain

import (
	"fmt"
	"slices"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/replay"
	"dmarcgate/term"
)

// notTold is a fact that the daemon has of a message and explain has not.
type notTold struct {
	What    string `json:"what"`
	Flag    string `json:"flag,omitempty"` // that tells it; "" if none does
	Matters bool   `json:"matters"`        // another value may give another decision

	missing policy.MissingFacts // the fact, if rules know it as one that may be missing
	others  []policy.Facts      // the message with other values of it
}

// notTold lists what explain was not told of a message that is evaluated, and
// finds out whether the decision depends on it: it decides again without the
// fact, and with other values.
func (o Options) notTold(s policy.Settings, x *Explanation) []notTold {
	if x.Facts.Skip != policy.Evaluated {
		return nil
	}
	var list []notTold
	add := func(missing bool, n notTold) {
		if missing {
			list = append(list, n)
		}
	}
	f := x.Facts
	direct := f.Client.IsValid() && !f.Relay.IsValid() // else the daemon does not know them either
	add(direct && !o.ClientName, withoutFact(f, "name of the client", "--client-name", policy.MissingClientName))
	add(direct && !o.TLS, notTold{What: "whether the client used TLS", Flag: "--tls", others: []policy.Facts{otherTLS(f)}})
	add(!o.Auth, notTold{What: "whether the client has authenticated", Flag: "--auth", others: []policy.Facts{authenticated(f)}})
	add(!o.Rcpt, withoutFact(f, "recipients", "--rcpt", policy.MissingRecipients))
	add(!x.Secret, notTold{What: "the site's secret, and so each draw", missing: policy.MissingSeed, others: otherDraws(f)})
	add(slices.ContainsFunc(f.Authors, notPassed), notTold{What: "history of the author domains, which only the daemon has", others: otherHistories(s, f)})
	add(x.Decision.Action == policy.Tempfail, notTold{What: "how long the message has been deferred, which only the daemon knows", others: []policy.Facts{deferred(s, f)}})
	base := outcomeOf(s.Decide(f))
	for i := range list {
		list[i].Matters = slices.ContainsFunc(list[i].others, func(other policy.Facts) bool {
			d, sure := replay.Again(s, other)
			d = outcomeOf(d)
			return !sure || !replay.Equal(&d, &base)
		})
	}
	return list
}

// outcomeOf is a decision without the words and policies that led to it.
func outcomeOf(d policy.Decision) policy.Decision {
	d.Why, d.Author, d.Effective, d.Requested = "", "", nil, 0
	return d
}

func authenticated(f policy.Facts) policy.Facts {
	f.Skip = policy.Authenticated
	return f
}

func notPassed(a policy.Author) bool { return a.Verdict.Status != dmarc.Pass }

func withoutFact(f policy.Facts, what, flag string, missing policy.MissingFacts) notTold {
	f.Missing |= missing
	return notTold{What: what, Flag: flag, missing: missing, others: []policy.Facts{f}}
}

func otherTLS(f policy.Facts) policy.Facts {
	f.TLS = !f.TLS
	return f
}

func deferred(s policy.Settings, f policy.Facts) policy.Facts {
	f.Deferred = s.MaxDefer
	return f
}

// otherDraws has the message without a seed, and with the lowest and the highest
// draw for pct.
func otherDraws(f policy.Facts) []policy.Facts {
	out := []policy.Facts{f}
	out[0].Missing |= policy.MissingSeed
	for _, draw := range []uint8{0, 99} {
		out = append(out, eachAuthor(f, func(a *policy.Author) { a.Draw = draw }))
	}
	return out
}

// otherHistories has the message with each history that rules or evidence tell
// from others.
func otherHistories(s policy.Settings, f policy.Facts) []policy.Facts {
	counts := []int{0, policy.HistoryMessages}
	for _, r := range s.Rules.List() {
		for _, bound := range []*int{r.Match.HistoryMin, r.Match.HistoryMax} {
			if bound != nil && r.Mode != policy.Off {
				counts = append(counts, max(0, *bound-1), *bound, *bound+1)
			}
		}
	}
	slices.Sort(counts)
	var out []policy.Facts
	for _, n := range slices.Compact(counts) {
		out = append(out, eachAuthor(f, func(a *policy.Author) { a.History = policy.History{Messages: n, DKIMPass: n} }))
	}
	return out
}

// eachAuthor returns a copy with other author domains.
func eachAuthor(f policy.Facts, change func(*policy.Author)) policy.Facts {
	f.Authors = slices.Clone(f.Authors)
	for i := range f.Authors {
		change(&f.Authors[i])
	}
	return f
}

// missing draws what explain was not told.
func (x *Explanation) missing(root *term.Node) {
	if len(x.NotTold) == 0 {
		return
	}
	n := root.Add("not told")
	for _, m := range x.NotTold {
		n.Add("%s", m.words())
	}
}

func (m notTold) words() string {
	text := m.What
	if m.Flag != "" {
		text += fmt.Sprintf(" (%s)", m.Flag)
	}
	if m.Matters {
		return text + ": the decision depends on it"
	}
	return text + ": makes no difference"
}
