package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/dnscache"
	"dmarcgate/internal/dnstest"
	"dmarcgate/policy"
)

// publishedRecord is what a large sender publishes.
const publishedRecord = "v=DMARC1; p=reject; sp=quarantine; adkim=r; aspf=r; rua=mailto:dmarc@shop.example,mailto:reports@service.example!10m; fo=1; pct=100"

// dmarcCalls is how many messages one measurement of a verdict has.
const dmarcCalls = 500

// dmarc compares what DMARC costs a message whose SPF domain is aligned, from a
// warm cache, with one verification of RSA-2048 over a short text.
func (s *engineStage) dmarc() ([]*contest, error) {
	zone, err := dnstest.Parse("_dmarc.shop.example. 3600 TXT \"" + publishedRecord + "\"\n!any\n!negttl 3600\n")
	if err != nil {
		return nil, err
	}
	server, err := dnstest.Serve(zone)
	if err != nil {
		return nil, err
	}
	dns, err := dnscache.New(dnscache.Config{Servers: []string{server.Addr()}}, nil)
	if err != nil {
		return nil, err
	}
	if err := verdictOf(dns.View(dnscache.DMARC), false); err != nil {
		return nil, fmt.Errorf("filling the cache: %w", err)
	}
	server.Close() // everything is remembered
	floor := &mail{body: []byte("x")}
	if floor.proof, err = s.floor.proveRSA([]byte("x"), 1); err != nil {
		return nil, err
	}
	view, complete := dns.View(dnscache.DMARC).Remembered()
	if s.verdictObjects, err = objectsOf(dmarcCalls, func() error { return verdictOf(view, true) }); err != nil {
		return nil, err
	}
	return []*contest{{
		group: "DMARC, from a warm cache", title: "discovery, evaluation, decision", calls: min(s.work, dmarcCalls),
		contenders: []contender{
			{"ours", func() error {
				err := verdictOf(view, true)
				if err == nil && !complete() {
					err = errFloor
				}
				return err
			}},
			{"RSA", func() error { _, err := s.floor.verify(floor); return err }},
		},
		wants: []want{{title: "ours/RSA", over: 0, under: 1, atMost: dmarcOverRSA}},
	}}, nil
}

// objectsOf returns how many objects a call of f allocates.
func objectsOf(calls int, f func() error) (float64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		if err := f(); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(calls), nil
}

// verdictOf takes a message from its author domain to the decision.
func verdictOf(dns dmarc.Resolver, immediate bool) error {
	ctx := context.Background()
	f := dmarc.Finder{Resolver: dns, Immediate: immediate, Walks: &dmarc.Walks{}}
	d := f.Find(ctx, "shop.example")
	id := f.Identify(ctx, dmarc.Identifier{Mechanism: dmarc.SPF, Domain: "bounce.shop.example", Passed: true}, d)
	v := dmarc.Evaluate(d, []dmarc.Identifier{id})
	facts := policy.Facts{Time: time.Unix(1, 0), From: policy.FromOneMailbox, Authors: []policy.Author{{
		Domain: "shop.example", Org: d.Org, PolicyDomain: d.PolicyDomain, Verdict: v,
	}}}
	set := policy.Settings{Profile: policy.Conformant, Quarantine: policy.Tag}
	if got := set.Decide(facts); v.Status != dmarc.Pass || got.Action != policy.Accept {
		return fmt.Errorf("%+v, %+v", v, got)
	}
	return nil
}
