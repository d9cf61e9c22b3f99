package lookup

import (
	"context"
	"net/netip"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/auth/spf"
	"dmarcgate/dnscache"
	"dmarcgate/policy"
	"dmarcgate/report/consent"
	"dmarcgate/site"
)

// looker asks the DNS about domains. It may be used by several goroutines.
type looker struct {
	in    site.Site
	dns   *dnscache.Resolver
	owner bool // ask who answers for the zone, too

	selectors []string // of DKIM keys to look up
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
func (l looker) look(ctx context.Context, domain string) *domainReport {
	ctx, cancel := context.WithTimeout(ctx, l.in.Config.Limits.MessageBudget.Std())
	defer cancel()
	c := consent.Checker{DNS: l.dns, Method: l.method(), Suffixes: l.in.Suffixes}
	d, queried := c.Find(ctx, c.Method, domain)
	s := newDomainReport(d)
	s.addLookups(queried)
	other, queried := c.Find(ctx, otherMethod(c.Method), domain)
	s.addLookups(queried)
	s.addMethod(d)
	s.addMethod(other)
	s.evaluate(l.settings())
	if s.Error != "" {
		return s
	}
	l.keys(ctx, s, l.selectors)
	s.Destinations, queried = c.Check(ctx, d)
	s.addLookups(queried)
	l.mailUse(ctx, s)
	if l.owner {
		l.askOwner(ctx, s)
	}
	return s
}

// settings are those of the first listener.
func (l looker) settings() policy.Settings { return l.in.Policy(l.in.Config.Listeners[0]) }

// mailUse asks whether the domain sends and receives mail, and adds the
// remarks about it and about the record.
func (l looker) mailUse(ctx context.Context, s *domainReport) {
	var t dnscache.Trail
	view := l.dns.View(dnscache.SPF).Traced(t.Add)
	var use mailUse
	use.hosts, use.mxErr = view.MX(ctx, s.Domain)
	txts, err := view.TXT(ctx, s.Domain)
	use.spf, use.spfErr = spfRecords(txts), err
	if len(use.spf) == 1 {
		// No client has this address: the record is read whole, and what it
		// refers to is followed to the end.
		use.check = spf.Check(ctx, view, spf.Query{IP: netip.IPv4Unspecified(), Domain: s.Domain, Local: "postmaster"})
	}
	s.addLookups(t.Lookups())
	if len(use.spf) == 1 {
		l.reach(ctx, s)
		l.spfTree(ctx, s)
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
func (l looker) askOwner(ctx context.Context, s *domainReport) {
	var t dnscache.Trail
	view := l.dns.View(dnscache.DMARC).Traced(t.Add)
	for _, domain := range []string{s.Domain, s.Org} {
		if domain != "" && s.mailbox == "" {
			_, s.mailbox, _ = view.SOA(ctx, domain)
		}
	}
	s.addLookups(t.Lookups())
}

func otherMethod(m dmarc.Method) dmarc.Method {
	if m == dmarc.PSL {
		return dmarc.TreeWalk
	}
	return dmarc.PSL
}
