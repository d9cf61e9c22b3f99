package survey

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/scope"
	"dmarcgate/term"
)

// Source is the infrastructure that brought a message, by the strongest name
// for it that is not the author's own and that the sender cannot choose.
type Source struct {
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

// SourceOf returns who brought a message, whether it passes or fails: a
// forwarder is the same source for both.
func SourceOf(f *policy.Facts, suffixes dmarc.Suffixes) Source {
	for _, sig := range f.DKIM {
		if sig.Result == "pass" && !sig.Testing && sig.Domain != "" && !ofAuthor(f, sig.Domain, suffixes) {
			return Source{byDKIM, sig.Domain}
		}
	}
	if f.SPF.Result == "pass" && f.SPF.Domain != "" && !ofAuthor(f, f.SPF.Domain, suffixes) {
		return Source{bySPF, f.SPF.Domain}
	}
	if f.ClientName != "" {
		if org := suffixes.Org(f.ClientName); org != "" {
			return Source{byName, org}
		}
	}
	return Source{byNetwork, ClientNetwork(f.Client)}
}

// ofAuthor reports whether a domain is of the organization of an author domain.
func ofAuthor(f *policy.Facts, domain string, suffixes dmarc.Suffixes) bool {
	return slices.ContainsFunc(f.Authors, func(a policy.Author) bool { return sameOrg(&a, domain, suffixes) })
}

func sameOrg(a *policy.Author, domain string, suffixes dmarc.Suffixes) bool {
	org := cmp.Or(a.Org, suffixes.Org(a.Domain))
	return domain == a.Domain || scope.AtOrBelow(domain, org)
}

// ClientNetwork is the network of a client as senders are counted by: /24 or
// /48.
func ClientNetwork(a netip.Addr) string {
	if !a.IsValid() {
		return "no address"
	}
	return scope.ClientNetwork(a).String()
}

// Traces are what a source has brought that shows that it passes mail on: what
// it cannot make by itself.
type Traces struct {
	// Signed are the organizations whose mail passed by aligned DKIM, and not by
	// SPF, as it does behind a forwarder. Not the source's own.
	Signed      Few
	BodyChanged int64 // messages with a signature of the author domain of which only the body does not verify
}

// ForwarderOrgs is how many organizations have to have Signed mail that a source
// brought: who sends in the name of others can sign as none of them, one is a
// customer of a mailer, two may be one under two names.
const ForwarderOrgs = 3

// Add records what a message shows.
func (t *Traces) Add(s Source, f *policy.Facts, suffixes dmarc.Suffixes) {
	changed := false
	for i := range f.Authors {
		a := &f.Authors[i]
		switch v := &a.Verdict; {
		case v.Status == dmarc.Pass && v.AlignedDKIM && !v.AlignedSPF && !s.is(a, suffixes):
			t.Signed.Add(cmp.Or(a.Org, a.Domain))
		case v.Status == dmarc.Fail:
			changed = changed || bodyAlone(f, a, suffixes)
		}
	}
	if changed {
		t.BodyChanged++
	}
}

// String says who it is, and how that is known.
func (s Source) String() string {
	kinds := map[string]string{byDKIM: "DKIM d=", bySPF: "SPF ", byName: "host of ", byNetwork: "network "}
	return kinds[s.Kind] + term.Bounded(s.Name, maxShown)
}

// maxShown is how much of the name of a source is shown.
const maxShown = 80

// Own is the source with a name of its own: one that is cut out of a row would
// keep all of the row in memory.
func (s Source) Own() Source { return Source{s.Kind, strings.Clone(s.Name)} }

// is reports whether an author domain is of the source itself.
func (s Source) is(a *policy.Author, suffixes dmarc.Suffixes) bool {
	return s.Kind != byNetwork && (sameOrg(a, s.Name, suffixes) || suffixes.Org(s.Name) == cmp.Or(a.Org, a.Domain))
}

// Forwards reports whether the source looks like a forwarder or a list. List
// fields, and ARC of sealers that are not configured, count for nothing: anybody
// can write them.
func (t *Traces) Forwards() bool { return len(t.Signed.List) >= ForwarderOrgs || t.BodyChanged > 0 }

// bodyAlone reports whether a signature of the author domain fails for the body
// alone.
func bodyAlone(f *policy.Facts, a *policy.Author, suffixes dmarc.Suffixes) bool {
	return slices.ContainsFunc(f.DKIM, func(s policy.DKIM) bool {
		return s.Result == "fail" && s.HeaderOK && !s.Testing && (slices.Contains(a.Signers, s.Domain) || sameOrg(a, s.Domain, suffixes))
	})
}

// Few are the first of some names.
type Few struct {
	most int // that are kept; 0 is maxFew
	List []string
	More bool // there are others
}

// maxFew is how many names of a kind are kept of a source.
const maxFew = 10

// Add keeps a name, if there is room for it.
func (f *Few) Add(name string) {
	switch {
	case slices.Contains(f.List, name):
	case len(f.List) < cmp.Or(f.most, maxFew):
		f.List = append(f.List, strings.Clone(name))
	default:
		f.More = true
	}
}
