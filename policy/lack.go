package policy

import (
	"net/netip"
	"slices"

	"dmarcgate/policy/pattern"
	"dmarcgate/scope"
)

// MissingFacts is a set of facts that are not known of a message. A rule that needs one
// cannot be tried on it.
type MissingFacts uint8

// The facts that can lack.
const (
	MissingClient     MissingFacts = 1 << iota // the address has become that of its network, /24 or /48
	MissingClientName                          // the client's name
	MissingRecipients                          // the domains of the recipients
	MissingHeader                              // IsList, ListID, Automatic and TLS
	MissingSeed                                // Seed
	MissingHistory                             // Author.History, where the policy is not reject
	MissingSignatures                          // some of DKIM or of Author.Signers
	MissingARC                                 // some of ARC.Sealers or of what they recorded
)

// AllMissing returns the facts that are not known of a message.
func (f *Facts) AllMissing() MissingFacts {
	missing := f.Missing
	if f.Version == 0 {
		missing |= MissingHeader | MissingSeed | MissingHistory
	}
	return missing
}

// missing reports whether a fact is not known of the message.
func (f *Facts) missing(l MissingFacts) bool { return f.AllMissing()&l != 0 }

// Suppose is what counts as holding where the fact that it needs is missing. The
// zero value supposes nothing.
type Suppose uint8

// What can be supposed.
const (
	SupposeRules     Suppose = 1 << iota // each key and sample of each rule
	SupposeForwarder                     // that the client is in a network of Known
	SupposeShare                         // that the message is in the share that is enforced
)

// Supposing returns the facts with which Decide and Tell suppose so. Whatever
// the missing facts were, each key of a rule holds at most where it holds in the
// one reading and at least where it holds in the other: if a decision is the
// same in all readings, it is the one that all facts would have led to. Package
// replay compares them.
func (f Facts) Supposing(what Suppose) Facts {
	f.supposed = what
	return f
}

// supposes reports whether keys of rules hold that need what is missing.
func (f *Facts) supposes() bool { return f.supposed&SupposeRules != 0 }

// around returns the addresses of which the client has one: its own, or those of
// its network. ok is false where there is no client.
func (f *Facts) around() (n netip.Prefix, ok bool) {
	if !f.Client.IsValid() {
		return n, false
	}
	client := f.Client.Unmap().WithZone("")
	if f.missing(MissingClient) {
		return scope.ClientNetwork(client), true
	}
	return netip.PrefixFrom(client, client.BitLen()), true
}

// clientIn reports whether one of the patterns holds the client. One of which
// only the network is known is held by what holds all of the network or, if some
// is enough, a part of it.
func (f *Facts) clientIn(patterns []pattern.Network, some bool) bool {
	n, ok := f.around()
	return ok && slices.ContainsFunc(patterns, func(p pattern.Network) bool {
		return p.Covers(n) || some && p.Overlaps(n)
	})
}

// fromNetwork is clientIn for networks of forwarders.
func (f *Facts) fromNetwork(networks []netip.Prefix) bool {
	n, ok := f.around()
	some := f.supposed&SupposeForwarder != 0
	return ok && slices.ContainsFunc(networks, func(p netip.Prefix) bool {
		return pattern.NetworkOf(p).Covers(n) || some && p.Overlaps(n)
	})
}

// What can be missing of a message because lookups gave way to others
// (Facts.Pressed). What made the verdict itself open is in the verdict.
const (
	PressedSPF       = "spf"
	PressedHELO      = "helo"
	PressedDKIM      = "dkim"       // of signatures with temperror
	PressedARC       = "arc"        // the chain failed for it
	PressedSendsMail = "sends_mail" // of author domains: what was not asked
)

// spfWords are the results of SPF (RFC 8601, Section 2.7.2).
var spfWords = []string{passWord, "fail", "softfail", "neutral", "none", tempWord, "permerror"}

const (
	passWord = "pass"
	tempWord = "temperror"
)

// Unpressed returns messages as this one could be if nothing had given way:
// with all that could have passed, with author domains that do not exist, and with
// each other result of SPF. Between them lies whatever it is. There are none where
// nothing gave way.
func (f *Facts) Unpressed() []Facts {
	if len(f.Pressed) == 0 {
		return nil
	}
	passed, missing := *f, *f
	passed.DKIM, passed.Authors, missing.Authors = slices.Clone(f.DKIM), slices.Clone(f.Authors), slices.Clone(f.Authors)
	pressed := func(word string) bool { return slices.Contains(f.Pressed, word) }
	for i := range passed.DKIM {
		if s := &passed.DKIM[i]; pressed(PressedDKIM) && s.Result == tempWord {
			s.Result = passWord
		}
	}
	if pressed(PressedSPF) {
		passed.SPF.Result = passWord
	}
	for i := range passed.Authors { // whether they pass is in their verdicts; by what may be open
		a := &passed.Authors[i]
		passes := resultOf(a.Verdict) == passWord
		a.Verdict.AlignedSPF = a.Verdict.AlignedSPF || passes && pressed(PressedSPF) && a.aligned(Recorded{Method: "spf", Domain: f.SPF.Domain})
		a.Verdict.AlignedDKIM = a.Verdict.AlignedDKIM || passes && pressed(PressedDKIM) && slices.ContainsFunc(passed.DKIM, func(s DKIM) bool { return s.passes() && a.signed(s.Domain) })
	}
	if pressed(PressedARC) {
		passed.ARC.Result = passWord
	}
	for i := range missing.Authors {
		if a := &missing.Authors[i]; pressed(PressedSendsMail) && !a.SendsMail.Queried {
			a.SendsMail = SendsMail{Queried: true, Missing: true}
		}
	}
	passed.Pressed, missing.Pressed = nil, nil
	all := []Facts{passed, missing}
	if pressed(PressedSPF) {
		for _, word := range spfWords {
			signed, other := passed, missing
			signed.SPF.Result, other.SPF.Result = word, word
			all = append(all, signed, other)
		}
	}
	return all
}
