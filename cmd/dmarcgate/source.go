package main

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// source is the infrastructure that brought a message, by the strongest name
// for it that is not the author's own and that the sender cannot choose.
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

// sourceOf returns who brought a message, whether it passes or fails: a
// forwarder is the same source for both.
func sourceOf(f *policy.Facts, suffixes dmarc.Suffixes) source {
	for _, sig := range f.DKIM {
		if sig.Result == "pass" && !sig.Testing && sig.Domain != "" && !ofAuthor(f, sig.Domain, suffixes) {
			return source{byDKIM, sig.Domain}
		}
	}
	if f.SPF.Result == "pass" && f.SPF.Domain != "" && !ofAuthor(f, f.SPF.Domain, suffixes) {
		return source{bySPF, f.SPF.Domain}
	}
	if f.ClientName != "" {
		if org := suffixes.Org(f.ClientName); org != "" {
			return source{byName, org}
		}
	}
	return source{byNetwork, clientNetwork(f.Client)}
}

// ofAuthor reports whether a domain is of the organization of an author domain.
func ofAuthor(f *policy.Facts, domain string, suffixes dmarc.Suffixes) bool {
	return slices.ContainsFunc(f.Authors, func(a policy.Author) bool { return sameOrg(&a, domain, suffixes) })
}

func sameOrg(a *policy.Author, domain string, suffixes dmarc.Suffixes) bool {
	org := cmp.Or(a.Org, suffixes.Org(a.Domain))
	return domain == a.Domain || org != "" && (domain == org || strings.HasSuffix(domain, "."+org))
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

// traces are what a source has brought that shows that it passes mail on: what
// it cannot make by itself.
type traces struct {
	// signed are the organizations whose mail passed by aligned DKIM, and not by
	// SPF, as it does behind a forwarder. Not the source's own.
	signed      few
	bodyChanged int64 // messages with a signature of the author domain of which only the body does not verify
}

// forwarderOrgs is how many organizations have to have signed mail that a source
// brought: who sends in the name of others can sign as none of them, one is a
// customer of a mailer, two may be one under two names.
const forwarderOrgs = 3

// add takes down what a message shows.
func (t *traces) add(s source, f *policy.Facts, suffixes dmarc.Suffixes) {
	changed := false
	for i := range f.Authors {
		a := &f.Authors[i]
		switch v := &a.Verdict; {
		case v.Status == dmarc.Pass && v.AlignedDKIM && !v.AlignedSPF && !s.is(a, suffixes):
			t.signed.add(cmp.Or(a.Org, a.Domain))
		case v.Status == dmarc.Fail:
			changed = changed || bodyAlone(f, a, suffixes)
		}
	}
	t.bodyChanged += one(changed)
}

// is reports whether an author domain is of the source itself.
func (s source) is(a *policy.Author, suffixes dmarc.Suffixes) bool {
	return s.Kind != byNetwork && (sameOrg(a, s.Name, suffixes) || suffixes.Org(s.Name) == cmp.Or(a.Org, a.Domain))
}

// forwards reports whether the source looks like a forwarder or a list. List
// fields, and ARC of sealers that are not configured, count for nothing: anybody
// can write them.
func (t *traces) forwards() bool { return len(t.signed.list) >= forwarderOrgs || t.bodyChanged > 0 }

// bodyAlone reports whether a signature of the author domain fails for the body
// alone.
func bodyAlone(f *policy.Facts, a *policy.Author, suffixes dmarc.Suffixes) bool {
	return slices.ContainsFunc(f.DKIM, func(s policy.DKIM) bool {
		return s.Result == "fail" && s.HeaderOK && !s.Testing && (slices.Contains(a.Signers, s.Domain) || sameOrg(a, s.Domain, suffixes))
	})
}

// few are the first of some names.
type few struct {
	most int // that are kept; 0 is maxFew
	list []string
	more bool // there are others
}

// maxFew is how many names of a kind are kept of a source.
const maxFew = 10

func (f *few) add(name string) {
	switch {
	case slices.Contains(f.list, name):
	case len(f.list) < cmp.Or(f.most, maxFew):
		f.list = append(f.list, strings.Clone(name))
	default:
		f.more = true
	}
}
