// Package consent finds the report destinations of a DMARC record, and whether
// their hosts have agreed to receive reports (RFC 9990, Section 4). No report may go
// to a host of another organization that has not.
//
// A record names at most 2*dmarc.MaxURIs destinations, and each of their hosts is
// queried once: a walk for its organizational domain, and one TXT lookup. How long
// that takes is limited by the context. The package sends nothing.
package consent

import (
	"cmp"
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

// Destination is where a record wants reports sent, and whether they may go
// there (RFC 9990, Section 4).
type Destination struct {
	Tag     string   `json:"tag"`            // rua or ruf
	URI     string   `json:"uri"`            // as published: foreign bytes
	Host    string   `json:"host,omitempty"` // the domain of the address
	Consent State    `json:"consent"`
	Name    string   `json:"name,omitempty"`    // that must consent
	Instead []string `json:"instead,omitempty"` // where that name wants reports of this kind: foreign bytes
	Why     string   `json:"why,omitempty"`     // unless internal or granted
}

// State says whether a destination takes the reports of a domain. Reports go to
// a destination that is Internal or Granted, and to no other.
type State string

// The states of consent.
const (
	Internal State = "internal" // of the same organization; need not be queried
	Granted  State = "granted"
	Refused  State = "refused" // no report goes there
	Unknown  State = "unknown" // the DNS did not answer; it may later
	Ignored  State = "ignored" // no destination that reports are sent to
)

// Checker asks the DNS for records and for the consent of their destinations. It
// may be used by several goroutines.
type Checker struct {
	DNS      *dnscache.Resolver
	Method   dmarc.Method   // how organizational domains are found
	Suffixes dmarc.Suffixes // for PSL; nil means dmarc.PublicSuffix()
}

// Find finds the record of a domain by a method, which need not be that of the
// checker. It returns the lookups along the walk, in its order, and without those
// that were made ahead in vain.
func (c Checker) Find(ctx context.Context, m dmarc.Method, domain string) (dmarc.Discovery, []dnscache.Lookup) {
	var t dnscache.Trail
	f := dmarc.Finder{Resolver: c.DNS.View(dnscache.DMARC).Traced(t.Add), Method: m, Suffixes: c.Suffixes}
	d := f.Find(ctx, domain)
	return d, along(d.Walk, t.Lookups())
}

// permission is what a host says about reports of a policy domain.
type permission struct {
	consent State
	name    string
	why     string
	records []dmarc.Record
	queried []dnscache.Lookup
}

// Check returns the destinations of the record that was found, rua first, and the
// lookups that were made for them. The hosts are queried at the same time.
func (c Checker) Check(ctx context.Context, d dmarc.Discovery) ([]Destination, []dnscache.Lookup) {
	list := []Destination{}
	for _, uri := range d.Record.RUA {
		list = append(list, newDestination("rua", uri))
	}
	for _, uri := range d.Record.RUF {
		list = append(list, newDestination("ruf", uri))
	}
	hosts := hostsOf(list)
	said := make([]permission, len(hosts))
	var wg sync.WaitGroup
	for i, host := range hosts {
		wg.Go(func() { said[i] = c.permission(ctx, d, host) })
	}
	wg.Wait()
	var queried []dnscache.Lookup
	for i, host := range hosts {
		queried = append(queried, said[i].queried...)
		for j := range list {
			if list[j].Host == host {
				list[j].settle(said[i])
			}
		}
	}
	return list, queried
}

// hostsOf returns the hosts of destinations, each once.
func hostsOf(list []Destination) []string {
	var hosts []string
	for _, d := range list {
		if d.Host != "" && !slices.Contains(hosts, d.Host) {
			hosts = append(hosts, d.Host)
		}
	}
	return hosts
}

func newDestination(tag string, uri dmarc.URI) Destination {
	d := Destination{Tag: tag, URI: uri.Text, Consent: Ignored, Why: "no mailto"}
	addr, ok := MailtoAddress(uri.Text)
	if !ok {
		return d
	}
	if d.Host, ok = message.AddressDomain(addr); !ok {
		d.Host, d.Why = "", "no address"
	}
	return d
}

// MailtoAddress returns the address of a mailto URI, unescaped (RFC 6068,
// Section 2): foreign bytes.
func MailtoAddress(uri string) (string, bool) {
	scheme, rest, _ := strings.Cut(uri, ":")
	if !strings.EqualFold(scheme, "mailto") {
		return "", false
	}
	rest, _, _ = strings.Cut(rest, "?")
	addr, err := url.PathUnescape(rest)
	return addr, err == nil
}

// org returns the organizational domain of a domain by the method of the
// checker; a public suffix is its own. Every error is temporary.
func (c Checker) org(ctx context.Context, domain string) (string, []dnscache.Lookup, error) {
	if c.Method == dmarc.PSL {
		list := c.Suffixes
		if list == nil {
			list = dmarc.PublicSuffix()
		}
		return cmp.Or(list.Org(domain), domain), nil, nil
	}
	d, queried := c.Find(ctx, dmarc.TreeWalk, domain)
	if err := cmp.Or(d.Err, d.OrgErr); err != nil {
		return "", queried, err
	}
	return cmp.Or(d.Org, domain), queried, nil
}

// permission asks a host for consent, unless it is of the same organization as
// the record.
func (c Checker) permission(ctx context.Context, d dmarc.Discovery, host string) permission {
	if host == d.PolicyDomain {
		return permission{consent: Internal}
	}
	own, queried, err := c.org(ctx, d.PolicyDomain)
	theirs, more, theirErr := c.org(ctx, host)
	p := permission{consent: Internal, queried: append(queried, more...)}
	switch {
	case err != nil:
		p.consent, p.why = Unknown, term.ErrorText(err)
	case theirErr != nil:
		p.consent, p.why = Unknown, term.ErrorText(theirErr)
	case own != theirs:
		c.ask(ctx, &p, d.PolicyDomain+"._report._dmarc."+host)
	}
	return p
}

// ask is RFC 9990, Section 4: any DMARC record at the name is a consent.
func (c Checker) ask(ctx context.Context, p *permission, name string) {
	p.name, p.consent = name, Refused
	if len(name) > dmarc.MaxNameBytes {
		p.why = "the name that must consent is longer than the DNS allows"
		return
	}
	var t dnscache.Trail
	txts, err := c.DNS.View(dnscache.DMARC).Traced(t.Add).TXT(ctx, name)
	p.queried = append(p.queried, t.Lookups()...)
	if err != nil {
		p.consent, p.why = Unknown, term.ErrorText(err)
		return
	}
	for _, txt := range txts {
		if r, _, err := dmarc.ParseRecord(txt); err == nil {
			p.records, p.consent = append(p.records, r), Granted
		}
	}
	if p.consent == Refused {
		p.why = "no v=DMARC1 record at the name that must consent"
	}
}

// settle applies what the host of a destination says. Its record may name
// another address for reports of the same kind, but only at the same host.
func (d *Destination) settle(p permission) {
	d.Consent, d.Name, d.Why = p.consent, p.name, p.why
	for _, r := range p.records {
		uris := r.RUA
		if d.Tag == "ruf" {
			uris = r.RUF
		}
		for _, uri := range uris {
			d.Instead = append(d.Instead, uri.Text)
			if newDestination(d.Tag, uri).Host != d.Host {
				d.Consent, d.Why = Refused, "the record that consents names a destination elsewhere"
			}
		}
	}
}

// along returns the lookups in the order of a walk, without those of a walk
// that its steps did not need, and then the others.
func along(walk []dmarc.Step, list []dnscache.Lookup) []dnscache.Lookup {
	place := func(l dnscache.Lookup) int {
		i := slices.IndexFunc(walk, func(s dmarc.Step) bool { return s.Name() == l.Name })
		if i < 0 && !strings.HasPrefix(l.Name, "_dmarc.") {
			return len(walk)
		}
		return i
	}
	list = slices.DeleteFunc(list, func(l dnscache.Lookup) bool { return place(l) < 0 })
	slices.SortStableFunc(list, func(a, b dnscache.Lookup) int { return cmp.Compare(place(a), place(b)) })
	return list
}
