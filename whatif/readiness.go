package whatif

import (
	"cmp"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/survey"
)

// readiness is what has to be looked at before a stricter profile is used:
// which messages would be refused or quarantined, and who brought them.
type readiness struct {
	sources  *capped[survey.Source, traffic]
	traces   *capped[survey.Source, survey.Traces] // of all mail of the sources
	evidence map[policy.Evidence]*halted
	ruled    int64  // by rules of the site, which are wanted
	deferred int64  // for a DNS failure of the author domain: they come again
	nameless int64  // without an author domain
	byARC    effect // what would be answered more severely without the ARC chain

	proposals map[survey.Source]*survey.Proposal // for those that look like forwarders, as far as they are shown
}

// halted is how many messages would be refused, and how many quarantined.
type halted struct {
	Rejected    int64    `json:"rejected"`
	Quarantined int64    `json:"quarantined"`
	Samples     []string `json:"samples"`
}

func (e *halted) add(d *policy.Decision, qid string) {
	if d.Action == policy.Reject {
		e.Rejected++
	} else {
		e.Quarantined++
	}
	if len(e.Samples) < maxSamples && qid != "" {
		e.Samples = append(e.Samples, strings.Clone(qid))
	}
}

// traffic is what one source brought.
type traffic struct {
	halted
	first, last time.Time

	orgs, authors, recipients, networks survey.Few

	known int64 // in the name of organizations whose own mail was seen here
	arc   int64 // with an ARC chain that passes
	list  int64 // with list fields
}

// fewNetworks is how many networks a sender's own hosts have at most.
const fewNetworks = 4

func newReadiness(lines int) *readiness {
	return &readiness{sources: newCapped[survey.Source, traffic](lines), traces: newCapped[survey.Source, survey.Traces](lines), evidence: make(map[policy.Evidence]*halted)}
}

// add counts a message that is answered more severely.
func (r *readiness) add(f *policy.Facts, d *policy.Decision, s *evaluator) {
	switch {
	case d.Rule != "":
		r.ruled++
		return
	case d.Action == policy.Tempfail:
		r.deferred++
		return
	case len(f.Authors) == 0:
		r.nameless++
		return
	}
	why := s.evidence(*f)
	e := r.evidence[why]
	if e == nil {
		e = new(halted)
		r.evidence[why] = e
	}
	e.add(d, f.QueueID)
	if !survey.Forged(why) {
		r.sources.count(survey.SourceOf(f, s.suffixes), survey.Source.Own).add(f, d)
	}
}

// see records what a message shows of its source, whatever it is answered.
func (r *readiness) see(f *policy.Facts, s *evaluator) {
	var shown survey.Traces
	src := survey.SourceOf(f, s.suffixes)
	shown.Add(src, f, s.suffixes)
	if len(shown.Signed.List) == 0 && shown.BodyChanged == 0 {
		return
	}
	r.traces.count(src, survey.Source.Own).Add(src, f, s.suffixes)
}

// lean counts a message that nothing but its ARC chain makes milder.
func (r *readiness) lean(row *results.Row, d *policy.Decision, s *evaluator) {
	if row.Facts.ARC.Result != "pass" || s.noARC {
		return
	}
	without := row.Facts
	without.ARC = policy.ARC{}
	other, sure := s.again(without)
	if c := (shift{answerOf(d), answerOf(&other)}); sure && c.To.compare(c.From) > 0 {
		r.byARC.add(c, row.Facts.QueueID)
	}
}

// tracesOf is what a source has shown.
func (r *readiness) tracesOf(s survey.Source) *survey.Traces {
	if e := r.traces.lines[s]; e != nil {
		return &e.value
	}
	return new(survey.Traces)
}

// forwards reports whether a source looks like a forwarder or a list.
func (r *readiness) forwards(s survey.Source, _ *traffic) bool { return r.tracesOf(s).Forwards() }

func (t *traffic) add(f *policy.Facts, d *policy.Decision) {
	t.halted.add(d, f.QueueID)
	if t.first.IsZero() || f.Time.Before(t.first) {
		t.first = f.Time
	}
	if f.Time.After(t.last) {
		t.last = f.Time
	}
	known := false
	for i := range f.Authors {
		a := &f.Authors[i]
		if a.Verdict.Status == dmarc.Pass {
			continue
		}
		t.orgs.Add(cmp.Or(a.Org, a.Domain))
		t.authors.Add(a.Domain)
		known = known || a.History.Messages > 0
	}
	for _, r := range f.Recipients {
		t.recipients.Add(r)
	}
	t.networks.Add(survey.ClientNetwork(f.Client))
	t.known += one(known)
	t.arc += one(f.ARC.Result == "pass")
	t.list += one(f.IsList)
}

func one(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// direct reports whether a source looks like a host of the author's own, which
// its owner has forgotten in SPF and DKIM.
func (r *readiness) direct(s survey.Source, t *traffic) bool {
	return len(t.orgs.List) == 1 && len(t.networks.List) <= fewNetworks && !r.forwards(s, t)
}

// unclear reports whether it is neither.
func (r *readiness) unclear(s survey.Source, t *traffic) bool {
	return !r.forwards(s, t) && !r.direct(s, t)
}
