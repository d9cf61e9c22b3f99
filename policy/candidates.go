package policy

import (
	"dmarcgate/policy/index"
	"dmarcgate/policy/pattern"
)

// The keys of domains that rules are found by.
const (
	byIPRev = iota
	bySPFPass
	byDKIMPass
	byARCPass
	byHELO
	byMailFrom
	byListID
	byAuthor
	byPolicyDomain
	byRcptDomain
	domainKeys // how many there are
)

// newIndex makes the index of rules that are in the order of trial. Rules that are
// off are not in it.
func newIndex(rules []Rule) *index.Index {
	keys := make([]*index.Keys, len(rules))
	for i := range rules {
		if m := &rules[i].Match; rules[i].Mode != Off {
			keys[i] = &index.Keys{Client: m.Client, Listener: m.Listener, Domains: [][]pattern.Domain{
				byIPRev: m.IPRev, bySPFPass: m.SPFPass, byDKIMPass: m.DKIMPass, byARCPass: m.ARCPass, byHELO: m.HELO, byMailFrom: m.MailFrom,
				byListID: m.ListID, byAuthor: m.Author, byPolicyDomain: m.PolicyDomain, byRcptDomain: m.RcptDomain,
			}}
		}
	}
	return index.New(keys, domainKeys)
}

// candidates makes b the rules that could match the message, with what its facts
// suppose.
func (t *trial) candidates(x *index.Index, b *index.Bits) {
	f := &t.facts
	x.Start(b, f.Listener)
	if around, ok := f.around(); ok {
		x.Client(b, around, f.supposes())
	}
	t.bySender(x, b)
	for _, s := range t.subjects() {
		x.Domain(b, byAuthor, s.Domain, s.Org)
		x.Domain(b, byPolicyDomain, s.PolicyDomain, s.policyOrg())
	}
	t.supposed(x, b, byRcptDomain, MissingRecipients)
	if !x.Empty(byRcptDomain) {
		for _, d := range f.Recipients {
			x.Domain(b, byRcptDomain, d, "")
		}
	}
}

// bySender is candidates by the keys about where the message came from.
func (t *trial) bySender(x *index.Index, b *index.Bits) {
	f := &t.facts
	t.supposed(x, b, byIPRev, MissingClientName)
	x.Domain(b, byIPRev, f.ClientName, "")
	x.Domain(b, byHELO, f.Helo, "")
	x.Domain(b, byMailFrom, f.MailFrom, "")
	t.supposed(x, b, byListID, MissingHeader)
	x.Domain(b, byListID, f.ListID, "")
	if f.SPF.Result == "pass" {
		x.Domain(b, bySPFPass, f.SPF.Domain, "")
	}
	for i := range f.DKIM {
		if f.DKIM[i].passes() {
			x.Domain(b, byDKIMPass, f.DKIM[i].Domain, "")
		}
	}
	if f.ARC.Result == "pass" && len(f.ARC.Sealers) > 0 { // the key names every sealer, so the first of them
		x.Domain(b, byARCPass, f.ARC.Sealers[0].Domain, "")
	}
}

// supposed adds every rule that is found by a key whose fact is missing, if the key
// is supposed to hold.
func (t *trial) supposed(x *index.Index, b *index.Bits, key int, l MissingFacts) {
	if t.facts.supposes() && t.facts.missing(l) {
		x.All(b, key)
	}
}
