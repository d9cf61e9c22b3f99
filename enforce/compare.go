package enforce

import (
	"log/slog"
	"slices"
	"strings"

	"dmarcgate/auth"
	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// Words for how the methods of discovery compare, beside those of
// dmarc.Difference.
const (
	differsDisposition = "disposition" // what would be done with the message
	notCompared        = "unready"     // the other method had no answer in time
)

// remember keeps what both methods say of an author domain, when there are two.
func (m *mail) remember(a auth.Author, v dmarc.Verdict) {
	if !m.comparing {
		return
	}
	m.mine = append(m.mine, dmarc.Opinion{Discovery: a.Discovery, Verdict: v})
	var other dmarc.Opinion
	if a.Other != nil {
		other = dmarc.Opinion{Discovery: a.Other.Discovery, Verdict: m.evaluate(a.Other.Discovery, a.Other.Identifiers)}
	}
	m.others = append(m.others, other)
}

// compare notes, for each author domain, in what another method of discovery
// would have come to something else. It changes no answer.
func (m *mail) compare(f *policy.Facts, d policy.Decision) {
	for i := range m.mine {
		a := &f.Authors[i]
		if m.others[i].Discovery.Author == "" {
			a.Differs = []string{notCompared}
		} else {
			a.Differs = m.differences(*f, d, i)
		}
		m.gate.Metrics.Compared(a.Differs)
		if len(a.Differs) > 0 && a.Differs[0] != notCompared {
			o := m.others[i]
			m.gate.Log.Info("DNS tree walk and public suffix list give different results", slog.String("qid", f.QueueID), slog.String("author", a.Domain),
				slog.String("in", strings.Join(a.Differs, ",")), slog.String("org", a.Org), slog.String("other_org", o.Discovery.Org),
				slog.String("policy_domain", a.PolicyDomain), slog.String("other_policy_domain", o.Discovery.PolicyDomain),
				slog.String("result", a.Verdict.Status.String()), slog.String("other_result", o.Verdict.Status.String()))
		}
	}
}

func (m *mail) differences(f policy.Facts, d policy.Decision, i int) []string {
	var out []string
	for _, what := range dmarc.Compare(m.mine[i], m.others[i]) {
		out = append(out, what.String())
	}
	if len(out) == 0 {
		return nil
	}
	o := m.others[i]
	f.Authors = slices.Clone(f.Authors)
	f.Authors[i].Verdict, f.Authors[i].Org, f.Authors[i].PolicyDomain = o.Verdict, o.Discovery.Org, o.Discovery.PolicyDomain
	if m.set.Policy.Decide(f).Action != d.Action {
		out = append(out, differsDisposition)
	}
	return out
}
