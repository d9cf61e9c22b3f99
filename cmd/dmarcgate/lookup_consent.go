package main

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"

	"dmarcgate/auth/dmarc"
	"dmarcgate/dnscache"
	"dmarcgate/message"
	"dmarcgate/term"
)

// destination is where a record wants reports sent, and whether they may go
// there (RFC 9990, Section 4).
type destination struct {
	Tag     string   `json:"tag"` // rua or ruf
	URI     string   `json:"uri"`
	Host    string   `json:"host,omitempty"` // the domain of the address
	Consent consent  `json:"consent"`
	Name    string   `json:"name,omitempty"`    // that must consent
	Instead []string `json:"instead,omitempty"` // where that name wants reports of this kind
	Why     string   `json:"why,omitempty"`     // unless internal or granted
}

// consent says whether a destination takes the reports of a domain.
type consent string

// The states of consent.
const (
	internal consent = "internal" // of the same organization; need not be asked
	granted  consent = "granted"
	refused  consent = "refused" // no report goes there
	unknown  consent = "unknown" // the DNS did not answer
	ignored  consent = "ignored" // no destination that reports are sent to
)

// permission is what a host says about reports of a policy domain.
type permission struct {
	consent consent
	name    string
	why     string
	records []dmarc.Record
	asked   []dnscache.Lookup
}

// destinations adds where reports go. Each host is asked once, all at the same
// time; a record has at most 2*dmarc.MaxURIs.
func (l looker) destinations(ctx context.Context, s *sight) {
	d := s.found
	for _, uri := range d.Record.RUA {
		s.Destinations = append(s.Destinations, newDestination("rua", uri))
	}
	for _, uri := range d.Record.RUF {
		s.Destinations = append(s.Destinations, newDestination("ruf", uri))
	}
	hosts := s.hosts()
	said := make([]permission, len(hosts))
	var wg sync.WaitGroup
	for i, host := range hosts {
		wg.Go(func() { said[i] = l.permission(ctx, d, host) })
	}
	wg.Wait()
	for i, host := range hosts {
		s.addLookups(said[i].asked)
		for j := range s.Destinations {
			if s.Destinations[j].Host == host {
				s.Destinations[j].settle(said[i])
			}
		}
	}
}

// hosts returns the hosts of the destinations, each once.
func (s *sight) hosts() []string {
	var hosts []string
	for _, d := range s.Destinations {
		if d.Host != "" && !slices.Contains(hosts, d.Host) {
			hosts = append(hosts, d.Host)
		}
	}
	return hosts
}

func newDestination(tag string, uri dmarc.URI) destination {
	d := destination{Tag: tag, URI: uri.Text, Consent: ignored, Why: "no mailto"}
	addr, ok := mailtoAddress(uri.Text)
	if !ok {
		return d
	}
	if d.Host, ok = message.AddressDomain(addr); !ok {
		d.Host, d.Why = "", "no address"
	}
	return d
}

// mailtoAddress returns the address of a mailto URI, unescaped (RFC 6068,
// Section 2): foreign bytes.
func mailtoAddress(uri string) (string, bool) {
	scheme, rest, _ := strings.Cut(uri, ":")
	if !strings.EqualFold(scheme, "mailto") {
		return "", false
	}
	rest, _, _ = strings.Cut(rest, "?")
	addr, err := url.PathUnescape(rest)
	return addr, err == nil
}

// permission asks a host for consent, unless it is of the same organization as
// the record.
func (l looker) permission(ctx context.Context, d dmarc.Discovery, host string) permission {
	if host == d.PolicyDomain {
		return permission{consent: internal}
	}
	own, asked, err := l.org(ctx, d.PolicyDomain)
	theirs, more, theirErr := l.org(ctx, host)
	p := permission{consent: internal, asked: append(asked, more...)}
	switch {
	case err != nil:
		p.consent, p.why = unknown, term.ErrorText(err)
	case theirErr != nil:
		p.consent, p.why = unknown, term.ErrorText(theirErr)
	case own != theirs:
		l.ask(ctx, &p, d.PolicyDomain+"._report._dmarc."+host)
	}
	return p
}

// ask is RFC 9990, Section 4: any DMARC record at the name is a consent.
func (l looker) ask(ctx context.Context, p *permission, name string) {
	p.name, p.consent = name, refused
	if len(name) > dmarc.MaxNameBytes {
		p.why = "the name that must consent is longer than the DNS allows"
		return
	}
	var t trail
	txts, err := l.dns.View(dnscache.DMARC).Traced(t.add).TXT(ctx, name)
	p.asked = append(p.asked, t.list...)
	if err != nil {
		p.consent, p.why = unknown, term.ErrorText(err)
		return
	}
	for _, txt := range txts {
		if r, _, err := dmarc.ParseRecord(txt); err == nil {
			p.records, p.consent = append(p.records, r), granted
		}
	}
	if p.consent == refused {
		p.why = "no v=DMARC1 record at the name that must consent"
	}
}

// settle applies what the host of a destination says. Its record may name
// another address for reports of the same kind, but only at the same host.
func (d *destination) settle(p permission) {
	d.Consent, d.Name, d.Why = p.consent, p.name, p.why
	for _, r := range p.records {
		uris := r.RUA
		if d.Tag == "ruf" {
			uris = r.RUF
		}
		for _, uri := range uris {
			d.Instead = append(d.Instead, uri.Text)
			if newDestination(d.Tag, uri).Host != d.Host {
				d.Consent, d.Why = refused, "the record that consents names a destination elsewhere"
			}
		}
	}
}
