package policy

import (
	"slices"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/scope"
)

// Evidence is what the profile Conformant went by, because RFC 9989, Section
// 7.4, does not let p=reject alone reject. The words are a closed set; log
// lines, Authentication-Results and metrics may carry them.
type Evidence string

// What Conformant can find, in the order in which it looks. Evidence against a
// rejection goes first, and needs an anchor that no third party can forge.
const (
	NotWeighed   Evidence = ""               // nothing asked for a rejection, or another profile decided
	ARCSealer    Evidence = "arc_sealer"     // against: trusted sealers saw the message pass
	Forwarder    Evidence = "forwarder"      // against: it came through a list or forwarder of the configuration
	BodyChanged  Evidence = "body_changed"   // against: signed by the author domain, and only the body was changed
	SendsNoMail  Evidence = "sends_no_mail"  // for: the author domain says that it sends none
	NoSuchDomain Evidence = "no_such_domain" // for: the author domain does not exist
	SignsMail    Evidence = "history"        // for: the organization signs its mail, and did not sign this
	NoEvidence   Evidence = "none"           // neither
)

// Evidences returns every word that Decision.Evidence can have but the empty
// one.
func Evidences() []Evidence {
	var all []Evidence
	for _, row := range slices.Concat(against, decisive) {
		all = append(all, row.name)
	}
	return append(all, NoEvidence)
}

// Limits of evidence: how much has to be known of a sender, and how long a
// signature speaks for a body that it does not verify.
const (
	HistoryDays     = 30 // of which Author.History is the sum
	HistoryMessages = 50 // a sender with fewer is not known
	historyPercent  = 99
	bodyChangedAge  = 7 * 24 * time.Hour
	clockSkew       = 5 * time.Minute // of a signer, as the verification of DKIM allows
)

// evidence is a row of the tables of evidence.
type evidence struct {
	name   Evidence
	words  string // one clause for Decision.Why
	reason Reason // of a row against: what the deviation is reported as
	test   func(Facts, Author, Settings) bool
}

// against is the evidence that a failing message is genuine nevertheless.
var against = []evidence{
	{ARCSealer, "a trusted ARC sealer recorded a pass", LocalPolicy, sealedPass},
	{Forwarder, "came through a forwarder of the configuration", TrustedForwarder, func(f Facts, _ Author, s Settings) bool { return s.Forwarded(f) }},
	{BodyChanged, "signed by the domain, and only the body was changed", LocalPolicy, bodyChanged},
}

// decisive is the evidence that makes it a forgery. (A rule that rejects is
// one, too, and decides whatever is found here.)
//
// Two things are missing on purpose: SPF that ends in -all, and nothing that
// authenticates. A message from a domain without DKIM has both as soon as
// somebody forwards it.
var decisive = []evidence{
	{SendsNoMail, "the domain says that it sends no mail", AsPublished, sendsNoMail},
	{NoSuchDomain, "the domain does not exist", AsPublished, noSuchDomain},
	{SignsMail, "the domain signs its mail, and this has no signature of it", AsPublished, unsigned},
}

// sealedPass: nobody but trusted sealers affected the chain, so what the first
// of them received is as it says (RFC 8617, Section 7.2.1). One third party among
// them could have put the message together.
func sealedPass(f Facts, a Author, s Settings) bool {
	if f.ARC.Result != "pass" {
		return false
	}
	for _, sealer := range f.ARC.Sealers {
		if !slices.Contains(s.TrustedForwarders.Sealers, sealer.Domain) {
			return false
		}
	}
	return slices.ContainsFunc(f.ARC.Sealers, a.passedAt)
}

// passedAt reports whether a hop recorded that the message passed for a. What
// it recorded for one mechanism does not count beside a fail of DMARC: the hop
// knew better whether that was aligned.
func (a Author) passedAt(hop Sealer) bool {
	passed := false
	for _, r := range hop.Recorded {
		if r.Method == "dmarc" && r.Domain == a.Domain && r.Result == "fail" {
			return false
		}
		passed = passed || r.Result == "pass" && a.aligned(r)
	}
	return passed
}

// aligned compares names, because nobody looks up Organizational Domains for
// what a trusted sealer recorded. A record that cannot be read is strict.
func (a Author) aligned(r Recorded) bool {
	if r.Method == "dmarc" || r.Domain == a.Domain {
		return r.Domain == a.Domain
	}
	record, _, err := dmarc.ParseRecord(a.Record)
	if err != nil || !scope.AtOrBelow(r.Domain, a.Org) {
		return false
	}
	return r.Method == "spf" && record.ASPF == dmarc.Relaxed || r.Method == "dkim" && record.ADKIM == dmarc.Relaxed
}

// Forwarded reports whether a message came through a list or forwarder that the
// configuration names: its network, or a domain for which SPF or DKIM passes.
func (s Settings) Forwarded(f Facts) bool {
	return f.fromNetwork(s.TrustedForwarders.Networks) || f.spfPass(s.TrustedForwarders.Domains) || f.dkimPass(s.TrustedForwarders.Domains)
}

// bodyChanged: lists add footers. A signature without t= could be of any age,
// and an old one is a header that somebody kept to put a body of his own under.
func bodyChanged(f Facts, a Author, _ Settings) bool {
	return slices.ContainsFunc(f.DKIM, func(s DKIM) bool {
		age := f.Time.Sub(s.SignedAt)
		return s.Result == "fail" && s.HeaderOK && slices.Contains(a.Signers, s.Domain) &&
			!s.SignedAt.IsZero() && age >= -clockSkew && age <= bodyChangedAge
	})
}

func sendsNoMail(_ Facts, a Author, _ Settings) bool {
	return a.SendsMail.Queried && (a.SendsMail.NoMail == NoMailSPF || a.SendsMail.NoMail == NoMailMX)
}

func noSuchDomain(_ Facts, a Author, _ Settings) bool {
	return a.SendsMail.Queried && a.SendsMail.Missing
}

// unsigned: any signature in the name of the organization is a reason for
// doubt, even one that fails: a list that changed subject and body leaves such
// a one behind. Who forges one gains quarantine instead of a refusal.
func unsigned(f Facts, a Author, _ Settings) bool {
	h := a.History
	return h.Messages >= HistoryMessages && h.DKIMPass >= (h.Messages*historyPercent+99)/100 &&
		!slices.ContainsFunc(f.DKIM, func(s DKIM) bool { return s.Domain == a.Domain || scope.AtOrBelow(s.Domain, a.Org) })
}
