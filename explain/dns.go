package explain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"dmarcgate/auth/spf"
	"dmarcgate/dnscache"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/scope"
	"dmarcgate/term"
)

// queried is one lookup of the path.
type queried struct {
	dnscache.Lookup
	daemon *dnscache.Entry // what the running daemon has instead, when that is known
}

// question is what identifies a lookup: "TXT example.com".
func (a queried) question() string { return a.Type + " " + a.Name }

// dropped reports whether nobody waited for the answer any more: a walk asks
// all its names at once.
func (a queried) dropped() bool { return errors.Is(a.Err, context.Canceled) }

// answered reports whether there is an answer, were it an old one.
func (a queried) answered() bool { return a.Err == nil || a.Stale() }

// answer is what came of it, printable, with the state of the cache.
func (a queried) answer() string {
	state := " (" + a.State() + ")"
	switch {
	case a.dropped():
		return "not waited for: settled without this answer"
	case a.Stale():
		return term.FoundWords(a.Records, a.NXDomain) + state + "; no newer answer: " + term.ErrorText(a.Err)
	case a.Err != nil && a.Outcome != "":
		return term.ErrorText(a.Err) + state
	case a.Err != nil:
		return term.ErrorText(a.Err)
	case a.Outcome == "":
		return "not queried: not a valid DNS name"
	}
	return term.FoundWords(a.Records, a.NXDomain) + state
}

// MarshalJSON writes the failure as text.
func (a queried) MarshalJSON() ([]byte, error) {
	v := struct {
		Purpose  string   `json:"purpose"`
		Type     string   `json:"type"`
		Name     string   `json:"name"`
		Records  []string `json:"records,omitempty"`
		NXDomain bool     `json:"nxdomain,omitempty"`
		Outcome  string   `json:"outcome,omitempty"`
		Age      int      `json:"age_seconds"`
		TTL      int      `json:"ttl_seconds"`
		AD       bool     `json:"ad,omitempty"`
		Error    string   `json:"error,omitempty"`

		Daemon *dnscache.Entry `json:"daemon,omitempty"`
	}{a.Purpose, a.Type, a.Name, a.Records, a.NXDomain, a.Outcome, term.Seconds(a.Age), term.Seconds(a.TTL), a.AD, "", a.daemon}
	if a.Err != nil {
		v.Error = term.Printable(a.Err.Error())
	}
	return json.Marshal(v)
}

// dnsLog keeps lookups in the order of their answers.
type dnsLog struct {
	mu   sync.Mutex
	list []queried
}

func (l *dnsLog) note(got dnscache.Lookup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, queried{Lookup: got})
}

// find returns the first answer to a question, in the form of the log.
func (l *dnsLog) find(kind, name string) (queried, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.list {
		if a.Type == kind && a.Name == name && !a.dropped() {
			return a, true
		}
	}
	return queried{}, false
}

// playback answers from a log, so that what was done with its answers can be
// done again. What the log lacks is queried now or, without a resolver, is not
// there.
type playback struct {
	log *dnsLog
	dns *dnscache.Resolver // may be nil

	mu    sync.Mutex
	names []string // questions, in the order in which they came up
}

// questions returns what was queried since the last call.
func (p *playback) questions() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := p.names
	p.names = nil
	return names
}

func (p *playback) note(question string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.names, question) {
		p.names = append(p.names, question)
	}
}

// get returns the answer to a question; ask puts it to a resolver.
func (p playedDNS) get(kind, name string, ask func(dnscache.View) error) queried {
	p.note(kind + " " + name)
	a, known := p.log.find(kind, name)
	if known {
		return a
	}
	if p.dns == nil {
		return queried{Lookup: dnscache.Lookup{NXDomain: !p.log.exists(name)}}
	}
	err := ask(p.dns.View(p.purpose).Traced(p.log.note))
	if a, known = p.log.find(kind, name); !known {
		return queried{Lookup: dnscache.Lookup{Err: err}}
	}
	return a
}

// exists reports whether an answer shows that a name is there: one that has
// something, or a name below it that has.
func (l *dnsLog) exists(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.list, func(a queried) bool {
		return a.answered() && a.Outcome != "" && !a.NXDomain && scope.AtOrBelow(a.Name, name)
	})
}

// playedDNS is a playback for one purpose.
type playedDNS struct {
	*playback
	purpose dnscache.Purpose
}

func (p playedDNS) TXT(ctx context.Context, name string) ([]string, error) {
	a := p.get("TXT", name, func(v dnscache.View) error { _, err := v.TXT(ctx, name); return err })
	return a.Records, a.Err
}

func (p playedDNS) MX(ctx context.Context, name string) ([]string, error) {
	a := p.get("MX", name, func(v dnscache.View) error { _, err := v.MX(ctx, name); return err })
	return a.Records, a.Err
}

func (p playedDNS) A(ctx context.Context, name string) ([]netip.Addr, error) {
	return p.get("A", name, func(v dnscache.View) error { _, err := v.A(ctx, name); return err }).addresses()
}

func (p playedDNS) AAAA(ctx context.Context, name string) ([]netip.Addr, error) {
	return p.get("AAAA", name, func(v dnscache.View) error { _, err := v.AAAA(ctx, name); return err }).addresses()
}

func (p playedDNS) PTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	name, err := dns.ReverseAddr(ip.Unmap().WithZone("").String())
	if err != nil {
		return nil, nil // no address, so it has no name
	}
	a := p.get("PTR", strings.TrimSuffix(name, "."), func(v dnscache.View) error { _, err := v.PTR(ctx, ip); return err })
	return a.Records, a.Err
}

// Exists asks as dnscache does.
func (p playedDNS) Exists(ctx context.Context, name string) (bool, error) {
	a := p.get("TXT", name, func(v dnscache.View) error { _, err := v.TXT(ctx, name); return err })
	old := a.Err
	if a.NXDomain && a.answered() {
		a = p.get("A", name, func(v dnscache.View) error { _, err := v.A(ctx, name); return err })
	}
	return a.answered() && !a.NXDomain, cmp.Or(a.Err, old)
}

// addresses reads those that the trace wrote.
func (a queried) addresses() ([]netip.Addr, error) {
	var out []netip.Addr
	for _, r := range a.Records {
		if ip, err := netip.ParseAddr(r); err == nil {
			out = append(out, ip)
		}
	}
	return out, a.Err
}

// spfCheck is the check of one identity with what it queried, in order.
type spfCheck struct {
	Identity string   `json:"identity"`
	Result   string   `json:"result"` // as it came out again
	Queried  []string `json:"queried"`
	Record   string   `json:"record,omitempty"` // the one of the domain itself, when there is one alone
}

// spf takes the checks of SPF again.
func (p *playback) spf(env *milter.Envelope, f policy.Facts) []spfCheck {
	if f.Skip != policy.Evaluated {
		return nil
	}
	check := func(q spf.Query) spfCheck {
		r := spf.Check(context.Background(), playedDNS{p, dnscache.SPF}, q)
		return spfCheck{q.Identity.String(), r.Status.String(), p.questions(), p.spfRecord(q.Domain)}
	}
	out := []spfCheck{check(mailFromQuery(env, f))}
	if !f.NullPath {
		helo := spf.Query{IP: f.Client, Identity: spf.Helo, Domain: f.HELO.Domain, Local: "postmaster", Helo: f.Helo}
		out = append(out, check(helo))
	}
	return out
}

// spfRecord returns the SPF record that was found at a name, if there is one
// alone (RFC 7208, Section 4.5).
func (p *playback) spfRecord(domain string) string {
	a, _ := p.log.find("TXT", domain)
	var found []string
	for _, txt := range a.Records {
		if version, _, _ := strings.Cut(txt, " "); strings.EqualFold(version, "v=spf1") {
			found = append(found, txt)
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}
