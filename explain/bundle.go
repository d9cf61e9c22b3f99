package explain

import (
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/explain/casefile"
	"dmarcgate/policy/sampling"
	"dmarcgate/site"
)

// bundle writes the case file of a message that was explained.
func bundle(in site.Site, l config.Listener, m Letter, x *Explanation, redact bool) (string, error) {
	s := casefile.Source{
		Config: in.Config, Listener: l, Rules: in.Rules.List(), Letter: m, Outcome: x.outcome(), Redact: redact, Play: play,
	}
	for _, a := range x.Lookups {
		s.Lookups = append(s.Lookups, a.Lookup)
	}
	for _, n := range x.NotTold {
		if n.Matters {
			s.NotTold = append(s.NotTold, n.What)
		}
	}
	return casefile.Make(s)
}

func (x *Explanation) outcome() casefile.Outcome {
	return casefile.Outcome{Facts: x.Facts, Decision: x.Decision, Reply: x.Reply}
}

// play takes the message of a case along the path, with its answers and without
// any secret.
func play(in site.Site, m Letter, answers []dnscache.Lookup) (casefile.Outcome, []string) {
	log := &dnsLog{}
	for _, a := range answers {
		log.note(a)
	}
	p := &playback{log: log}
	l := in.Config.Listeners[0]
	now := in.Snapshot(l, sampling.NewSampler(nil), func(dnscache.Purpose) dnscache.View { return dnscache.View{} })
	now.Checker.SPF, now.Checker.DKIM, now.Checker.Finder.Resolver = playedDNS{playback: p}, playedDNS{playback: p}, playedDNS{playback: p}
	now.Checker.CacheOnly, now.Checker.Charge, now.Checker.Other = nil, nil, nil
	y := Passage(l, site.MilterLimits(in.Config), now, m, nil)
	return y.outcome(), p.questions()
}
