package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// readiness is what has to be looked at before a stricter profile is used:
// which messages would be refused or quarantined, and who brought them.
type readiness struct {
	sources  *capped[source, traffic]
	traces   *capped[source, traces] // of all mail of the sources
	evidence map[policy.Evidence]*halted
	ruled    int64  // by rules of the site, which are wanted
	deferred int64  // for a DNS failure of the author domain: they come again
	nameless int64  // without an author domain
	byARC    effect // what would be answered more severely without the ARC chain

	proposals map[source]*ruleProposal // for those that look like forwarders, as far as they are shown
}

// ruleProposal is a rule for a forwarder.
type ruleProposal struct {
	Command string `json:"command"` // that prints it
	Says    string `json:"says"`    // what it covers
	Covers  int64  `json:"covers"`
	Failed  int64  `json:"failed"` // messages from this source that failed
}

// halted is how many messages would be refused, and how many quarantined.
type halted struct {
	Rejected    int64    `json:"rejected"`
	Quarantined int64    `json:"quarantined"`
	Samples     []string `json:"samples"`
}

func (e *halted) add(d *policy.Decision, qid string) {
	if d.Action == policy.Refuse {
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

	orgs, authors, recipients, networks few

	known int64 // in the name of organizations whose own mail was seen here
	arc   int64 // with an ARC chain that passes
	list  int64 // with list fields
}

// fewNetworks is how many networks a sender's own hosts have at most.
const fewNetworks = 4

func newReadiness(lines int) *readiness {
	return &readiness{sources: newCapped[source, traffic](lines), traces: newCapped[source, traces](lines), evidence: make(map[policy.Evidence]*halted)}
}

// forged is the evidence that a message is not from whom it says.
var forged = []policy.Evidence{policy.SendsNoMail, policy.NoSuchDomain, policy.SignsMail}

// genuine is the evidence that it is.
var genuine = []policy.Evidence{policy.ARCSealer, policy.Forwarder, policy.BodyChanged}

// add counts a message that is answered more severely.
func (r *readiness) add(f *policy.Facts, d *policy.Decision, s *judge) {
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
	if !slices.Contains(forged, why) {
		r.sources.count(sourceOf(f, s.suffixes), source.own).add(f, d)
	}
}

// see takes down what a message shows of its source, whatever it is answered.
func (r *readiness) see(f *policy.Facts, s *judge) {
	var shown traces
	src := sourceOf(f, s.suffixes)
	shown.add(src, f, s.suffixes)
	if len(shown.signed.list) == 0 && shown.bodyChanged == 0 {
		return
	}
	r.traces.count(src, source.own).add(src, f, s.suffixes)
}

// own is the source with a name of its own, see capped.
func (s source) own() source { return source{s.Kind, strings.Clone(s.Name)} }

// lean counts a message that nothing but its ARC chain makes milder.
func (r *readiness) lean(row *results.Row, d *policy.Decision, s *judge) {
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
func (r *readiness) tracesOf(s source) *traces {
	if e := r.traces.lines[s]; e != nil {
		return &e.value
	}
	return new(traces)
}

// forwards reports whether a source looks like a forwarder or a list.
func (r *readiness) forwards(s source, _ *traffic) bool { return r.tracesOf(s).forwards() }

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
		t.orgs.add(cmp.Or(a.Org, a.Domain))
		t.authors.add(a.Domain)
		known = known || a.History.Messages > 0
	}
	for _, r := range f.Recipients {
		t.recipients.add(r)
	}
	t.networks.add(clientNetwork(f.Client))
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
func (r *readiness) direct(s source, t *traffic) bool {
	return len(t.orgs.list) == 1 && len(t.networks.list) <= fewNetworks && !r.forwards(s, t)
}

// unclear reports whether it is neither.
func (r *readiness) unclear(s source, t *traffic) bool { return !r.forwards(s, t) && !r.direct(s, t) }
