package auth

import "dmarcgate/auth/dmarc"

// aside is the discovery of one author domain by Checker.Other.
type aside struct {
	discovery dmarc.Discovery
	orgs      []dmarc.Identifier
	done      chan struct{}
	ready     bool // it came in time
}

// discoverAside begins a discovery for which no message waits, and which gives
// way to all others.
func (r *Run) discoverAside(cached CacheOnly, author string) *aside {
	a := &aside{done: make(chan struct{})}
	other := forMessage(r.checker.Other)
	find := func(dns CacheOnly) {
		f := with(other, dns)
		a.discovery, a.orgs = f.Find(r.ctx, author), nil
		for _, id := range r.candidates() {
			a.orgs = append(a.orgs, f.Identify(r.ctx, id, a.discovery))
		}
	}
	if r.try(cached, find) {
		close(a.done)
		return a
	}
	r.spawnIn(&r.asides, func() {
		dns := CacheOnly{DMARC: r.checker.Other.Resolver}
		if r.checker.Charge != nil {
			dns = r.asking(OfOther)
		}
		find(dns)
		close(a.done)
	})
	return a
}

// takeAsides takes what is ready. The rest ends with the message.
func (r *Run) takeAsides() {
	for _, a := range r.others {
		select {
		case <-a.done:
			a.ready = true
		default:
		}
	}
}
