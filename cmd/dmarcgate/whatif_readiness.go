package main

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// readiness is what has to be looked at before a stricter profile is used:
// which messages would be refused or quarantined, and who brought them.
type readiness struct {
	sources  *capped[source, traffic]
	evidence map[policy.Evidence]*halted
	ruled    int64 // by rules of the site, which are wanted
	deferred int64 // for a DNS failure of the author domain: they come again
	nameless int64 // without an author domain
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

// source is the infrastructure that brought a message, by the strongest name
// for it that the sender cannot choose.
type source struct {
	Kind string `json:"kind"` // dkim, spf, name or network
	Name string `json:"name"`
}

// The kinds of sources, from the strongest.
const (
	byDKIM    = "dkim"    // d= of a signature that passed
	bySPF     = "spf"     // domain of MAIL FROM, for which SPF passed
	byName    = "name"    // organizational domain of the client's confirmed name
	byNetwork = "network" // of the client, /24 or /48
)

// traffic is what one source brought.
type traffic struct {
	halted
	first, last time.Time

	orgs, authors, recipients, networks few

	known       int64 // in the name of organizations whose own mail was seen here
	bodyChanged int64 // with a signature of the author domain of which only the body does not verify
	arc         int64 // with an ARC chain that passes
	list        int64 // with list fields
}

// Limits of what is told of a source.
const (
	maxFew = 10 // names of a kind

	// forwarderOrgs is how many organizations a source must have brought mail of
	// to be taken for a forwarder: one sends its own, two may be one under two
	// names.
	forwarderOrgs = 3
	// fewNetworks is how many networks a sender's own hosts have at most.
	fewNetworks = 4
)

// few are the first of some names.
type few struct {
	list []string
	more bool // there are others
}

func (f *few) add(name string) {
	switch {
	case slices.Contains(f.list, name):
	case len(f.list) < maxFew:
		f.list = append(f.list, strings.Clone(name))
	default:
		f.more = true
	}
}

func newReadiness(lines int) *readiness {
	return &readiness{sources: newCapped[source, traffic](lines), evidence: make(map[policy.Evidence]*halted)}
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
		own := func(s source) source { return source{s.Kind, strings.Clone(s.Name)} }
		r.sources.count(sourceOf(f, s.suffixes), own).add(f, d)
	}
}

// sourceOf returns who brought a message.
func sourceOf(f *policy.Facts, suffixes dmarc.Suffixes) source {
	for _, sig := range f.DKIM {
		if sig.Result == "pass" && !sig.Testing && sig.Domain != "" {
			return source{byDKIM, sig.Domain}
		}
	}
	if f.SPF.Result == "pass" && f.SPF.Domain != "" {
		return source{bySPF, f.SPF.Domain}
	}
	if f.ClientName != "" {
		if org := suffixes.Org(f.ClientName); org != "" {
			return source{byName, org}
		}
	}
	return source{byNetwork, clientNetwork(f.Client)}
}

// clientNetwork is the network of a client as senders are counted by: /24 or
// /48.
func clientNetwork(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return "no address"
	}
	bits := 48
	if a.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(a, bits).Masked().String()
}

func (t *traffic) add(f *policy.Facts, d *policy.Decision) {
	t.halted.add(d, f.QueueID)
	if t.first.IsZero() || f.Time.Before(t.first) {
		t.first = f.Time
	}
	if f.Time.After(t.last) {
		t.last = f.Time
	}
	known, changed := false, false
	for i := range f.Authors {
		a := &f.Authors[i]
		if a.Verdict.Status == dmarc.Pass {
			continue
		}
		t.orgs.add(cmp.Or(a.Org, a.Domain))
		t.authors.add(a.Domain)
		known = known || a.History.Messages > 0
		changed = changed || bodyAlone(f, a)
	}
	for _, r := range f.Recipients {
		t.recipients.add(r)
	}
	t.networks.add(clientNetwork(f.Client))
	t.known += one(known)
	t.bodyChanged += one(changed)
	t.arc += one(f.ARC.Result == "pass")
	t.list += one(f.IsList)
}

// bodyAlone reports whether an aligned signature fails for the body alone.
func bodyAlone(f *policy.Facts, a *policy.Author) bool {
	return slices.ContainsFunc(f.DKIM, func(s policy.DKIM) bool {
		return s.Result == "fail" && s.HeaderOK && slices.Contains(a.Signers, s.Domain)
	})
}

func one(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// forwards reports whether a source looks like a forwarder or a list: it brings
// mail of several organizations, or of one whose own mail is known here, and
// then somebody vouches for the source, or the message shows that it was passed
// on. It may still be a forger: who adds a rule looks first.
func (s source) forwards(t *traffic) bool {
	passedOn := t.bodyChanged+t.arc+t.list > 0
	return len(t.orgs.list) >= forwarderOrgs || t.known > 0 && (s.Kind != byNetwork || passedOn)
}

// direct reports whether a source looks like a host of the author's own, which
// its owner has forgotten in SPF and DKIM.
func (s source) direct(t *traffic) bool {
	return len(t.orgs.list) == 1 && len(t.networks.list) <= fewNetworks && !s.forwards(t)
}
