package policy

import (
	"net/netip"
	"reflect"
	"slices"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy/pattern"
)

// Bits of the network by which a client is known whose address is no longer
// kept.
const (
	shortBits4 = 24
	shortBits6 = 48
)

// shortened returns the network of a client, without zone and not in IPv6
// form, that is left of its address under LackClient.
func shortened(client netip.Addr) netip.Prefix {
	bits := shortBits6
	if client.Is4() {
		bits = shortBits4
	}
	p, _ := client.Prefix(bits)
	return p
}

// clientWithin reports whether one of the sets of addresses holds the client.
func clientWithin[P any](f *Facts, lacks Lack, sets []P, within func(P, netip.Prefix) truth) truth {
	if !f.Client.IsValid() {
		return no
	}
	client := f.Client.Unmap().WithZone("")
	around := netip.PrefixFrom(client, client.BitLen())
	if lacks&LackClient != 0 {
		around = shortened(client)
	}
	v := no
	for _, set := range sets {
		if v = v.or(within(set, around)); v == yes {
			break
		}
	}
	return v
}

// clientIn reports whether the client is in one of the networks.
func (f *Facts) clientIn(networks []netip.Prefix) truth {
	return clientWithin(f, f.Lacking(), networks, func(p, around netip.Prefix) truth { return part(pattern.NetworkOf(p), around) })
}

// clientHeld reports whether the client is held by one of the patterns.
func (f *Facts) clientHeld(patterns []pattern.Network, lacks Lack) truth {
	return clientWithin(f, lacks, patterns, part)
}

// weighedSurely reports whether every fact was at hand that the evidence needs:
// of networks of forwarders, that is the client.
func (s *Settings) weighedSurely(f *Facts) bool {
	if s.Profile != Conformant || f.Lacking()&LackClient == 0 || s.unusable(*f) || f.clientIn(s.Known.Networks) != unsure {
		return true
	}
	if f.spfPass(s.Known.Domains) || f.dkimPass(s.Known.Domains) {
		return true
	}
	return !slices.ContainsFunc(f.Authors, func(a Author) bool {
		return a.Verdict.Status == dmarc.Fail && s.lower(a).Applied == dmarc.Reject && !sealedPass(*f, a, *s)
	})
}

// again is Again with a rule that is tried, see overrule.
func (s Settings) again(f *Facts, trying int) (Decision, bool) {
	d, sure := s.remade(f, trying)
	return d, sure && (f.Skip != Evaluated || f.Lacking()&(LackSignatures|LackARC) == 0)
}

// remade is again for rows that have all signatures and sealers: without some,
// nothing is sure, since each may be what a rule or the evidence needs.
func (s Settings) remade(f *Facts, trying int) (Decision, bool) {
	switch {
	case f.TooManyForged:
		return s.refuseForged(f), true
	case f.Skip != Evaluated:
		return Decision{Reason: "not evaluated: " + string(f.Skip)}, true
	case s.Profile == Monitor || s.Observed == 0:
		s.Observed = 0
		return s.settled(f, trying)
	}
	return s.shared(f, trying)
}

// shared is again where a share of the messages is only observed.
func (s Settings) shared(f *Facts, trying int) (Decision, bool) {
	watched, enforced := s, s
	watched.Profile, watched.Observed, enforced.Observed = Monitor, 100, 0
	lacks := f.Lacking()&LackSeed != 0
	switch {
	case s.Observed >= 100 || !lacks && (f.Seed == 0 || DrawFrom(f.Seed, "ramp") < s.Observed):
		return watched.settled(f, trying)
	case !lacks:
		return enforced.settled(f, trying)
	}
	d, sure := watched.settled(f, trying)
	other, otherSure := enforced.settled(f, trying)
	return d, sure && otherSure && reflect.DeepEqual(d, other)
}

// settled decides when the profile is that of the message: Monitor with
// Observed is that of one outside the share that is enforced.
func (s *Settings) settled(f *Facts, trying int) (d Decision, sure bool) {
	d, sure = s.once(f, trying)
	if len(f.Pressed) > 0 {
		d = s.pressed(f, d, trying)
	}
	return d, sure
}

// once decides about the facts as they are.
func (s *Settings) once(f *Facts, trying int) (d Decision, sure bool) {
	d, sure = s.decideProfile(*f), true
	if s.Rules.Len() > 0 && (s.unusable(*f) || slices.ContainsFunc(f.Authors, fallible)) {
		d, sure = s.overrule(f, d, trying)
	}
	return d, sure && s.weighedSurely(f)
}

// part reports whether the addresses of a network are in p: all, some, or none
// of them.
func part(p pattern.Network, n netip.Prefix) truth {
	switch {
	case p.Covers(n):
		return yes
	case p.Overlaps(n):
		return unsure
	}
	return no
}
