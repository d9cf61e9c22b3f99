package dnscheck

import (
	"fmt"
	"net/netip"

	"dmarcgate/config"
	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/site"
)

// anchor is a key of a rule, or a list of the configuration, that tells by the DNS or
// by addresses whose mail is exempt.
type anchor struct {
	place site.Remark // where it is written, without what is wrong
	spf   bool        // SPF proves the domains
	items []item

	beyondNames int // items left out because of maxNames
	beyondMap   int // items of maps left out because of maxMapItems
}

// item is what one anchor has to do with a subject.
type item struct {
	*subject
	spf bool // SPF proves this name
}

// plan is what to look up, each name and address once.
type plan struct {
	anchors  []*anchor
	subjects []*subject
	domains  map[string]*subject
	clients  map[netip.Addr]*subject
}

func newPlan() *plan {
	return &plan{domains: map[string]*subject{}, clients: map[netip.Addr]*subject{}}
}

func (p *plan) addRule(r policy.Rule) {
	at := func(key string) site.Remark {
		return site.Remark{Rule: r.ID, Problem: config.Problem{File: r.File, Line: r.Line, Key: "match." + key}}
	}
	p.networks(at("client"), r.Match.Client)
	p.names(at("iprev"), false, r.Match.IPRev)
	p.names(at("spf_pass"), true, r.Match.SPFPass)
	p.names(at("dkim_pass"), false, r.Match.DKIMPass)
	p.names(at("arc_pass"), false, r.Match.ARCPass)
}

func (p *plan) addConfig(cfg *config.Config) {
	at := func(key string) site.Remark {
		return site.Remark{Problem: cfg.Problem(key, "", "").Problems[0]}
	}
	for i, l := range cfg.Listeners {
		p.prefixes(at(tomlfile.Element("listener", i)+".trusted_networks"), l.TrustedNetworks)
	}
	for i, r := range cfg.TrustedRelays {
		table := tomlfile.Element("trusted_relay", i)
		p.prefixes(at(table+".networks"), r.Networks)
		p.prefixes(at(table+".inner_networks"), r.Inner)
	}
	var sealers []pattern.Domain
	for _, d := range cfg.Conformant.TrustedSealers {
		sealers = append(sealers, pattern.NewDomain(pattern.Exact, d))
	}
	p.names(at("conformant.trusted_sealers"), false, sealers)
	p.prefixes(at("conformant.forwarder_networks"), cfg.Conformant.ForwarderNetworks)
	p.names(at("conformant.forwarder_domains"), true, cfg.Conformant.ForwarderDomains)
}

func (p *plan) names(place site.Remark, spf bool, list []pattern.Domain) {
	a := &anchor{place: place, spf: spf}
	for _, d := range list {
		if d.Map() == nil {
			p.domain(a, d)
			continue
		}
		n := 0
		for one := range d.Map().All() {
			if n++; n > maxMapItems {
				break
			}
			p.domain(a, one)
		}
		a.beyondMap += max(0, d.Map().Len()-maxMapItems)
	}
	p.add(a)
}

// domain adds one pattern. SPF is that of one name, so not that of all names below
// another.
func (p *plan) domain(a *anchor, d pattern.Domain) {
	s := p.domains[d.Name()]
	if s == nil {
		if s = p.room(a); s == nil {
			return
		}
		s.domain = d.Name()
		p.domains[s.domain] = s
	}
	one := item{s, a.spf && d.Kind() != pattern.Below}
	s.spf = s.spf || one.spf
	a.items = append(a.items, one)
}

func (p *plan) prefixes(place site.Remark, list []netip.Prefix) {
	var out []pattern.Network
	for _, n := range list {
		out = append(out, pattern.NetworkOf(n))
	}
	p.networks(place, out)
}

func (p *plan) networks(place site.Remark, list []pattern.Network) {
	a := &anchor{place: place}
	for _, n := range list {
		if prefix, ok := n.Prefix(); ok {
			n = pattern.NewNetMap("", []netip.Prefix{prefix}).Pattern()
		}
		items := 0
		for first, last := range n.Map().Spans() {
			if items++; items <= maxMapItems {
				p.span(a, first, last)
			}
		}
		a.beyondMap += max(0, items-maxMapItems)
	}
	p.add(a)
}

// span adds the first addresses from first to last.
func (p *plan) span(a *anchor, first, last netip.Addr) {
	for n := 0; n < maxAddresses && first.IsValid() && !last.Less(first); n++ {
		s := p.clients[first]
		if s == nil {
			if s = p.room(a); s == nil {
				return
			}
			s.client = first
			p.clients[first] = s
		}
		a.items = append(a.items, item{subject: s})
		first = first.Next()
	}
}

// room returns a new subject, or nil when there are maxNames.
func (p *plan) room(a *anchor) *subject {
	if len(p.subjects) == maxNames {
		a.beyondNames++
		return nil
	}
	s := &subject{}
	p.subjects = append(p.subjects, s)
	return s
}

func (p *plan) add(a *anchor) {
	if len(a.items)+a.beyondNames > 0 {
		p.anchors = append(p.anchors, a)
	}
}

// name is the anchor item for findings.
func (s *subject) name() string {
	if s.client.IsValid() {
		return s.client.String()
	}
	return fmt.Sprintf("%q", s.domain)
}
