package site

import (
	"dmarcgate/policy/sampling"
	"dmarcgate/policy/sum"
	"dmarcgate/site/shape"
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/auth"
	"dmarcgate/auth/dkim"
	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/dnscache/schedule"
	"dmarcgate/enforce"
	"dmarcgate/milter"
	"dmarcgate/policy"
)

// Snapshot makes what the messages of one listener are handled by. view
// chooses how a purpose sees the resolver.
func (in Site) Snapshot(l config.Listener, sampler sampling.Sampler, view func(dnscache.Purpose) dnscache.View) *enforce.Snapshot {
	return &enforce.Snapshot{Settings: in.settings(l, sampler), Checker: in.Checker(view)}
}

// Checker makes the checks of SPF, DKIM, ARC and DMARC, without a listener. view
// is as for Snapshot.
func (in Site) Checker(view func(dnscache.Purpose) dnscache.View) *auth.Checker {
	finder := &dmarc.Finder{Resolver: view(dnscache.DMARC), Method: dmarc.TreeWalk}
	if in.Suffixes != nil {
		finder.Method, finder.Suffixes = dmarc.PSL, in.Suffixes
	}
	var other *dmarc.Finder
	if in.Config.Discovery.Compare {
		other = in.otherFinder(view(dnscache.DMARC))
	}
	return &auth.Checker{
		Other: other,
		SPF:   view(dnscache.SPF), DKIM: view(dnscache.DKIM), Finder: finder, Budget: in.Config.Limits.MessageBudget.Std(),
		BodyLength: bodyLength(in.Config.DKIM.BodyLength), MaxKeyBits: in.Config.DKIM.MaxKeyBits,
		AllChains: in.Config.ARC.Check == "all",
		Charge:    func(client netip.Addr) func(auth.Class) auth.CacheOnly { return charged(view, client) },
		CacheOnly: func() auth.CacheOnly { return remembered(view) },
	}
}

// charged is the resolver for one message: what it asks is charged to the
// message and its client, so that a message that asks for much takes no other's
// share.
func charged(view func(dnscache.Purpose) dnscache.View, client netip.Addr) func(auth.Class) auth.CacheOnly {
	account := schedule.NewAccount(client)
	return func(c auth.Class) auth.CacheOnly {
		class := schedule.Other
		if c == auth.OfAuthor {
			class = schedule.Author
		}
		of := func(p dnscache.Purpose) dnscache.View { return view(p).Charged(account, class) }
		return auth.CacheOnly{SPF: of(dnscache.SPF), DKIM: of(dnscache.DKIM), DMARC: of(dnscache.DMARC)}
	}
}

// otherFinder finds by the method that the configuration does not choose.
func (in Site) otherFinder(dns dmarc.Resolver) *dmarc.Finder {
	if in.Suffixes == nil {
		return &dmarc.Finder{Resolver: dns, Method: dmarc.PSL, Suffixes: in.SuffixList}
	}
	return &dmarc.Finder{Resolver: dns, Method: dmarc.TreeWalk}
}

// remembered is the resolver as far as its cache goes.
func remembered(view func(dnscache.Purpose) dnscache.View) auth.CacheOnly {
	s, spfDone := view(dnscache.SPF).Remembered()
	k, dkimDone := view(dnscache.DKIM).Remembered()
	d, dmarcDone := view(dnscache.DMARC).Remembered()
	return auth.CacheOnly{SPF: s, DKIM: k, DMARC: d, Complete: func() bool {
		known := true
		for _, done := range []func() bool{spfDone, dkimDone, dmarcDone} {
			known = done() && known
		}
		return known
	}}
}

// settings puts the configuration of one listener into the words of the rooms.
func (in Site) settings(l config.Listener, sampler sampling.Sampler) enforce.Settings {
	decide := in.Policy(l)
	s := enforce.Settings{
		Policy: decide, PolicySum: sum.Settings(decide), Shape: shape.Of(in.Config, in.Started), Sampler: sampler, Trusted: l.TrustedNetworks,
		AuthservID: l.AuthservID, AuthservIDs: OwnIDs(in.Config), HostName: in.Config.HostName(), TrustMTAName: l.TrustMTAName,
		TagField: in.Config.Header.Tag, RemoveBIMI: in.Config.Header.RemoveBIMI,
		Reports: reportAddresses(in.Config.Reports),
		Reply: enforce.Reply{
			Reject: in.Config.Reply.Reject, Local: in.Config.Reply.Local, Tempfail: in.Config.Reply.TempFail,
			NoAuthor: in.Config.Reply.NoAuthor, Help: in.Config.Reply.Help,
		},
	}
	for _, r := range in.Config.TrustedRelays {
		s.Relays = append(s.Relays, enforce.Relay{Networks: r.Networks, Inner: r.Inner, Names: r.Names})
	}
	return s
}

// OwnIDs returns the ids that only we may write, each once: they are compared
// with every field.
func OwnIDs(cfg *config.Config) []string {
	ids := cfg.OwnIDs()
	for i, id := range ids {
		ids[i] = strings.ToLower(id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Policy is what decides the messages of one listener.
func (in Site) Policy(l config.Listener) policy.Settings {
	t := in.Config.TempError
	s := policy.Settings{
		Profile:      l.Profile,
		EnforceShare: l.EnforceShare,
		Quarantine:   l.Quarantine,
		IgnorePct:    in.Config.Discovery.Pct == "ignore",
		TempOurs:     t.Ours.Action(),
		TempDomain:   t.Domain.Action(),
		TempUnknown:  t.UnknownClient,
		MaxDefer:     t.MaxDefer.Std(),
		From:         in.Config.From,
		TrustedForwarders: policy.TrustedForwarders{
			Sealers: in.Config.Conformant.TrustedSealers, Networks: in.Config.Conformant.ForwarderNetworks, Domains: in.Config.Conformant.ForwarderDomains,
		},
		Rules: in.Rules,
	}
	if t.Domain == config.TempQuarantine {
		s.MaxDefer = 0 // as after the time of waiting
	}
	return s
}

// bodyLength says what a signature over a part of the body is worth. Whatever is
// not the word for more refuses it.
func bodyLength(word string) dkim.BodyLength {
	if word == "whole" {
		return dkim.AcceptWhole
	}
	return dkim.Refuse
}

// MilterLimits is [limits] in the words of package milter.
func MilterLimits(cfg *config.Config) milter.Limits {
	l := milter.DefaultLimits()
	l.Connections, l.IdleTimeout = cfg.Limits.Connections, cfg.Limits.IdleTimeout.Std()
	l.HeaderFields, l.HeaderBytes = cfg.Limits.HeaderFields, int(cfg.Limits.HeaderBytes)
	l.Recipients = cfg.Limits.Recipients
	return l
}
