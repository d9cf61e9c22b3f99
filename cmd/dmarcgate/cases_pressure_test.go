package main

import (
	"context"
	"net/netip"

	"dmarcgate/auth"
	"dmarcgate/internal/dnstest"
)

// pressed stands between the daemon and its resolver: lookups of the names
// that the zone has under !pressure give way, as they do when too much is queried
// at once. Of a served zone no server could say so.
type pressed struct {
	dns  auth.CacheOnly
	zone *dnstest.Zone
}

// press puts it there, in all listeners.
func press(d *served, zone *dnstest.Zone) {
	for _, g := range d.Listeners() {
		now := *g.Snapshot.Load()
		checker := *now.Checker
		charge := checker.Charge
		checker.Charge = func(client netip.Addr) func(auth.Class) auth.CacheOnly {
			charged := charge(client)
			return func(c auth.Class) auth.CacheOnly {
				p := pressed{charged(c), zone}
				return auth.CacheOnly{SPF: p, DKIM: p, DMARC: p}
			}
		}
		now.Checker = &checker
		g.Snapshot.Store(&now)
	}
}

func (p pressed) gaveWay(qtype, name string) error {
	if p.zone.Presses(name, qtype) {
		return &dnstest.Error{Name: name, Type: qtype, Kind: "pressure"}
	}
	return nil
}

func (p pressed) TXT(ctx context.Context, name string) ([]string, error) {
	if err := p.gaveWay("TXT", name); err != nil {
		return nil, err
	}
	return p.dns.DKIM.TXT(ctx, name)
}

func (p pressed) A(ctx context.Context, name string) ([]netip.Addr, error) {
	if err := p.gaveWay("A", name); err != nil {
		return nil, err
	}
	return p.dns.SPF.A(ctx, name)
}

func (p pressed) AAAA(ctx context.Context, name string) ([]netip.Addr, error) {
	if err := p.gaveWay("AAAA", name); err != nil {
		return nil, err
	}
	return p.dns.SPF.AAAA(ctx, name)
}

func (p pressed) MX(ctx context.Context, name string) ([]string, error) {
	if err := p.gaveWay("MX", name); err != nil {
		return nil, err
	}
	return p.dns.SPF.MX(ctx, name)
}

func (p pressed) PTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	if err := p.gaveWay("PTR", dnstest.Reverse(ip)); err != nil {
		return nil, err
	}
	return p.dns.SPF.PTR(ctx, ip)
}

func (p pressed) Exists(ctx context.Context, name string) (bool, error) {
	if err := p.gaveWay("TXT", name); err != nil {
		return false, err
	}
	return p.dns.DMARC.Exists(ctx, name)
}
