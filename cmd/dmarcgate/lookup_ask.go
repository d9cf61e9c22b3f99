package main

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"dmarcgate/auth/dmarc"
	"dmarcgate/auth/spf"
	"dmarcgate/dnscache"
	"dmarcgate/policy"
	"dmarcgate/site"
)

// looker asks the DNS about domains. It may be used by several goroutines.
type looker struct {
	in    site.Site
	dns   *dnscache.Resolver
	owner bool // ask who answers for the zone, too
}

// trail is the lookups of one question, which may be asked at once.
type trail struct {
	mu   sync.Mutex
	list []dnscache.Lookup
}

func (t *trail) add(l dnscache.Lookup) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, l)
}

// along returns the lookups in the order of a walk, without those of a walk
// that its steps did not need, and then the others.
func (t *trail) along(walk []dmarc.Step) []dnscache.Lookup {
	place := func(l dnscache.Lookup) int {
		i := slices.IndexFunc(walk, func(s dmarc.Step) bool { return s.Name() == l.Name })
		if i < 0 && !strings.HasPrefix(l.Name, "_dmarc.") {
			return len(walk)
		}
		return i
	}
	t.list = slices.DeleteFunc(t.list, func(l dnscache.Lookup) bool { return place(l) < 0 })
	slices.SortStableFunc(t.list, func(a, b dnscache.Lookup) int { return cmp.Compare(place(a), place(b)) })
	return t.list
}

// method is that of the configuration.
func (l looker) method() dmarc.Method {
	if l.in.Suffixes != nil {
		return dmarc.PSL
	}
	return dmarc.TreeWalk
}

// look asks all that there is to know of a domain. It takes no longer than the
// daemon would take for a message.
func (l looker) look(ctx context.Context, domain string) *sight {
	ctx, cancel := context.WithTimeout(ctx, l.in.Config.Limits.MessageBudget.Std())
	defer cancel()
	d, asked := l.find(ctx, l.method(), domain)
	s := newSight(d)
	s.addLookups(asked)
	other, asked := l.find(ctx, otherMethod(l.method()), domain)
	s.addLookups(asked)
	s.addMethod(d)
	s.addMethod(other)
	s.judge(l.settings())
	if s.Error != "" {
		return s
	}
	l.destinations(ctx, s)
	l.mailUse(ctx, s)
	if l.owner {
		l.askOwner(ctx, s)
	}
	return s
}

// settings are those of the first listener.
func (l looker) settings() policy.Settings { return l.in.Policy(l.in.Config.Listeners[0]) }

func (l looker) find(ctx context.Context, m dmarc.Method, domain string) (dmarc.Discovery, []dnscache.Lookup) {
	var t trail
	f := dmarc.Finder{Resolver: l.dns.View(dnscache.DMARC).Traced(t.add), Method: m, Suffixes: l.in.Suffixes}
	d := f.Find(ctx, domain)
	return d, t.along(d.Walk)
}

// org returns the organizational domain of a domain by the method of the
// configuration; a public suffix is its own. Every error is temporary.
func (l looker) org(ctx context.Context, domain string) (string, []dnscache.Lookup, error) {
	if l.in.Suffixes != nil {
		return cmp.Or(l.in.Suffixes.Org(domain), domain), nil, nil
	}
	d, asked := l.find(ctx, dmarc.TreeWalk, domain)
	if err := cmp.Or(d.Err, d.OrgErr); err != nil {
		return "", asked, err
	}
	return cmp.Or(d.Org, domain), asked, nil
}

// mailUse asks whether the domain sends and receives mail, and adds the
// remarks about it and about the record.
func (l looker) mailUse(ctx context.Context, s *sight) {
	var t trail
	view := l.dns.View(dnscache.SPF).Traced(t.add)
	var use mailUse
	use.hosts, use.mxErr = view.MX(ctx, s.Domain)
	txts, err := view.TXT(ctx, s.Domain)
	use.spf, use.spfErr = spfRecords(txts), err
	if len(use.spf) == 1 {
		// No client has this address: the record is read whole, and what it
		// refers to is followed to the end.
		use.check = spf.Check(ctx, view, spf.Query{IP: netip.IPv4Unspecified(), Domain: s.Domain, Local: "postmaster"})
	}
	s.addLookups(t.list)
	if len(use.spf) == 1 {
		l.reach(ctx, s)
	}
	s.Remarks = append(recordRemarks(s.found), use.remarks(s)...)
}

// spfRecords returns the SPF records among TXT records (RFC 7208, Section 4.5).
func spfRecords(txts []string) []string {
	var out []string
	for _, txt := range txts {
		version, _, _ := strings.Cut(txt, " ")
		if strings.EqualFold(version, "v=spf1") {
			out = append(out, txt)
		}
	}
	return out
}

// askOwner asks for the SOA of the domain, or of the organizational domain when
// no zone begins at it. Without an answer there is one contact less.
func (l looker) askOwner(ctx context.Context, s *sight) {
	var t trail
	view := l.dns.View(dnscache.DMARC).Traced(t.add)
	for _, domain := range []string{s.Domain, s.Org} {
		if domain != "" && s.mailbox == "" {
			_, s.mailbox, _ = view.SOA(ctx, domain)
		}
	}
	s.addLookups(t.list)
}

func otherMethod(m dmarc.Method) dmarc.Method {
	if m == dmarc.PSL {
		return dmarc.TreeWalk
	}
	return dmarc.PSL
}
