package lintsound

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// effort is what it takes to arrange a fact.
type effort uint8

// The efforts, from small to large. The tests go up to customer: what one named
// party can do, it may do.
const (
	anybody  effort = iota
	account         // whoever opens an account at a mailbox provider or a bulk sender
	customer        // organizations that buy a gateway
	party           // the one organization that has the name or the network
	nobody
)

var efforts = []string{"anybody", "account", "customer", "party", "nobody"}

func (e effort) String() string { return efforts[e] }

// The domains of the world.
const (
	bank     = "bank.example"      // a victim
	news     = "news.bank.example" // its subdomain
	shop     = "shop.example"      // a victim
	store    = "store.example"     // a victim that no rule names
	corp     = "corp.example"      // the site's own domain
	branch   = "branch.example"    // the other domain of the site
	partner  = "partner.example"   // a party that rules name
	relay    = "mx.partner.example"
	mailbox  = "gmail.com"       // anybody can have an account
	mailHost = "x.google.com"    // a host of that provider
	bulk     = "sendgrid.net"    // anybody can have an account
	bulkHost = "o1.sendgrid.net" // a host of that sender
	gateway  = "pphosted.com"    // for organizations that buy it
	gateHost = "x.pphosted.com"  // a host of that gateway
	own      = "evil.example"    // the third party's own, which no rule names
	ownHost  = "host.evil.example"
	spare    = "spare.example" // another domain of the third party's, which is no author
)

// holders says who can send as a domain: sign as it, pass SPF for it, and have a
// client with a confirmed name in it.
var holders = map[string]effort{
	"": anybody, own: anybody, ownHost: anybody, spare: anybody,
	mailbox: account, mailHost: account, bulk: account, bulkHost: account,
	gateway: customer, gateHost: customer,
	partner: party, relay: party,
	bank: nobody, news: nobody, shop: nobody, store: nobody, corp: nobody, branch: nobody,
}

// names are the domains that texts in a message may have, in a fixed order.
var names = []string{ownHost, own, bank, news, shop, store, corp, partner, relay, mailbox, mailHost, bulk, bulkHost, gateway, gateHost}

// clients says who has a client at an address.
var clients = []struct {
	addr netip.Addr
	by   effort
}{
	{netip.MustParseAddr("203.0.113.7"), anybody}, // the third party's own
	{netip.MustParseAddr("2400:cb00::7"), anybody},
	{netip.MustParseAddr("209.85.220.41"), account}, // of the mailbox provider
	{netip.MustParseAddr("167.89.100.1"), account},  // of the bulk sender
	{netip.MustParseAddr("192.0.2.1"), party},       // of the partner
}

// arranged is what a third party arranges in a message beside what every message
// of a class has. The zero value, but for the client, is the plain message.
type arranged struct {
	by                     effort
	client                 netip.Addr
	name, helo, mailFrom   string // mailFrom "": that of the author
	nullPath               bool
	spf                    string // result; "" is none
	dkim, arc              []string
	listID                 string
	listHeaders, automatic bool
	earlier                bool // a field says that SPF failed at an earlier host
}

// The table: what a third party can arrange, fact by fact, each with who can. The
// first of each is the plain one.

// envelopes: anybody writes any HELO and any MAIL FROM; SPF passes for the domain
// of MAIL FROM, and for HELO with the null path, to who holds it. Whatever else SPF
// can result in, anybody has: the records of his own domain say what he likes or are
// broken, its servers do not answer, and the records of others leave his client out
// with any of their words.
func envelopes() []arranged {
	out := []arranged{{helo: ownHost, mailFrom: own}}
	for _, nullPath := range []bool{false, true} {
		for _, helo := range names {
			for _, mailFrom := range append([]string{""}, names...) {
				if nullPath && mailFrom != "" {
					continue
				}
				a := arranged{helo: helo, mailFrom: mailFrom, nullPath: nullPath}
				checked := mailFrom
				if nullPath {
					checked = helo
				}
				for _, a.spf = range notPassed {
					if a.spf != "temperror" || holders[checked] == anybody && checked != "" {
						out = append(out, a)
					}
				}
				if checked != "" {
					a.spf, a.by = "pass", holders[checked]
					out = append(out, a)
				}
			}
		}
	}
	return out
}

// notPassed are the results of SPF (RFC 7208, Section 2.6) but for pass. The first is
// that of a domain without a record.
var notPassed = []string{"", "fail", "softfail", "neutral", "permerror", "temperror"}

// connections: a client has its address, and a name of who holds it.
func connections() []arranged {
	out := []arranged{{client: clients[0].addr}}
	for _, c := range clients {
		for _, name := range append([]string{""}, names...) {
			out = append(out, arranged{client: c.addr, name: name, by: max(c.by, holders[name])})
		}
	}
	return out
}

// signed: a signature passes for who holds its domain. A genuine message of the
// victim with another body is anybody's.
func signed() []arranged {
	out := []arranged{{}}
	for _, d := range names {
		out = append(out, arranged{dkim: []string{"pass:" + d}, by: holders[d]})
	}
	for _, victim := range []string{bank, news, shop, store, corp, partner} {
		out = append(out, arranged{dkim: []string{"body:" + victim}, by: anybody})
		for _, d := range []string{own, mailbox, bulk, gateway} {
			out = append(out, arranged{dkim: []string{"body:" + victim, "pass:" + d}, by: holders[d]})
		}
	}
	for _, d := range []string{mailbox, bulk, gateway} {
		out = append(out, arranged{dkim: []string{"pass:" + own, "pass:" + d}, by: holders[d]})
	}
	return append(out, arranged{dkim: []string{"pass:" + mailbox, "pass:" + bulk}, by: account})
}

// sealed: who seals records what it wants, and a seal counts only where every sealer
// of the chain is named. Who has an account at a bulk sender is taken for who can make
// it record a pass, since it seals what its customers write.
//
// A mailbox provider and a gateway are one party each, although whoever opens an
// account gets their seal: they seal what the account forwards, with the results that
// they found themselves when the mail came in. The account's holder chooses neither
// these results nor, for a pass, the author: a spoof that he sends to his own account
// is recorded as a fail, and a chain of his own before it names his own sealer. What
// he can do is forward a genuine message of the author to somebody else, where the
// provider lets him with a footer or another subject. Lint warns of that all the same.
func sealed() []arranged {
	by := map[string]effort{own: anybody, bulk: account, mailbox: party, gateway: party, partner: party}
	out := []arranged{{}}
	for _, d := range []string{own, mailbox, bulk, gateway, partner} {
		out = append(out, arranged{arc: []string{d}, by: by[d]})
		if d != own {
			out = append(out, arranged{arc: []string{own, d}, by: by[d]})
		}
	}
	return out
}

// written: anybody writes the fields of lists, of automatic mail, and of what an
// earlier host saw.
func written() []arranged {
	out := []arranged{{}}
	for _, id := range append([]string{""}, names...) {
		for i := range 8 {
			out = append(out, arranged{listID: id, listHeaders: id != "" || i&1 != 0, automatic: i&2 != 0, earlier: i&4 != 0})
		}
	}
	return out
}

// join puts what was arranged of different facts together.
func (a arranged) join(b arranged) arranged {
	a.by = max(a.by, b.by)
	if b.client.IsValid() {
		a.client, a.name = b.client, b.name
	}
	if b.helo != "" {
		a.helo, a.mailFrom, a.nullPath, a.spf = b.helo, b.mailFrom, b.nullPath, b.spf
	}
	if b.dkim != nil {
		a.dkim = b.dkim
	}
	if b.arc != nil {
		a.arc = b.arc
	}
	if b.listID != "" || b.listHeaders || b.automatic || b.earlier {
		a.listID, a.listHeaders, a.automatic, a.earlier = b.listID, b.listHeaders, b.automatic, b.earlier
	}
	return a
}

// authenticates reports whether SPF or a signature passes, for whatever domain.
func (a arranged) authenticates() bool {
	return a.spf == "pass" || slices.ContainsFunc(a.dkim, func(s string) bool { return strings.HasPrefix(s, "pass:") })
}

// alike is the plain message but for what keys ask for whose very meaning is that a
// sender chooses it: the result of SPF, whether anything is authenticated at all, and
// what an earlier host is said to have seen. Who writes a rule that refuses by one of
// them says by it which mail the rule leaves alone.
func (a arranged) alike(c *class, plain arranged) arranged {
	plain.spf, plain.earlier = a.spf, a.earlier
	signed := slices.ContainsFunc(a.dkim, func(s string) bool { return s == "pass:"+own || s == "pass:"+ownHost })
	switch {
	case c.passed.by != "" && signed:
		plain.dkim = []string{"pass:" + own}
	case c.passed.by == "" && a.spf == "pass": // for what is no author
		plain.mailFrom, plain.nullPath = spare, false
	case c.passed.by == "" && a.authenticates():
		plain.dkim = []string{"pass:" + spare}
	}
	return plain
}

// passed is how mail passes for an author domain, and who can have it so.
type passed struct {
	by   string // as in pass_by; "" does not pass
	who  effort
	from arranged // the client that passes SPF for the author
}

// Mail that passes in the name of a victim: anybody has a genuine message of it and
// sends that message again. SPF passes for who sends through a host that the victim's
// record names because the victim does so, too.
var (
	replayed  = passed{by: "dkim"}
	byAccount = passed{by: "spf", who: account, from: arranged{client: clients[3].addr, name: bulkHost, helo: bulkHost}}
	byGateway = passed{by: "spf", who: customer, from: arranged{client: clients[0].addr, name: gateHost, helo: gateHost}}
)

// Mail in the third party's own name passes as it likes.
var ownPasses = []passed{{by: "spf"}, {by: "dkim"}, {by: "both"}}

// class is what the plain message has in common with those that are compared with
// it: nothing of it is arranged, or anybody chooses it.
type class struct {
	authors      []string
	from         policy.From
	policy       string
	policyDomain string
	result       string
	passed       passed
	history      int
	rcpt         []string
	listener     string
	tls          bool
	time         time.Time
	seed         uint64
	profile      policy.Profile
}

var today = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC) // a Monday

// times: noon of a Monday, the night of a Saturday, and when some rules have ended.
var times = []time.Time{today.Add(12 * time.Hour), today.Add(5*24*time.Hour + 23*time.Hour), today.Add(40*24*time.Hour + 12*time.Hour)}

// authorLists are the author domains of a message, of which one at least is a
// victim for which nothing passes.
var authorLists = [][]string{
	{bank}, {news}, {shop}, {store}, {corp}, {partner},
	{bank, own}, {own, bank}, {shop, own}, {store, own}, {partner, own}, {bank, shop}, {shop, bank}, {bank, news}, {bank, partner}, {store, bank}, {bank, mailbox},
}

var unusable = []policy.From{policy.FromMissing, policy.FromSeveralFields, policy.FromEmptyGroup, policy.FromUnparsable, policy.FromTruncated}

// given is a message of a class.
func (c *class) given(a arranged) policy.Given {
	g := policy.Given{
		Author: c.authors, FromField: c.from, Policy: c.policy, PolicyDomain: c.policyDomain, Result: c.result, History: c.history,
		Rcpt: c.rcpt, Listener: c.listener, TLS: c.tls, Time: c.time, Profile: c.profile,
		Client: a.client, Name: a.name, Helo: a.helo, MailFrom: a.mailFrom, NullPath: a.nullPath,
		DKIM: a.dkim, ARC: a.arc, ListID: a.listID, ListHeaders: a.listHeaders, Automatic: a.automatic, EarlierSPFFail: a.earlier, SPF: a.spf,
	}
	if c.passed.by == "spf" || c.passed.by == "both" {
		g.SPF, g.MailFrom, g.NullPath = "pass", c.authors[0], false
		if from := c.passed.from; from.client.IsValid() {
			g.Client, g.Name, g.Helo = from.client, from.name, from.helo
		}
	}
	if c.passed.by == "dkim" || c.passed.by == "both" {
		g.DKIM = append([]string{"pass:" + c.authors[0]}, a.dkim...)
	}
	return g
}

// spoof reports whether the message passes for no victim but as its class has it: an
// aligned pass by a third party is mail of its own. Mail in its own name counts where it makes the
// lookups of its domain fail.
func spoof(c *class, f *policy.Facts) bool {
	return c.passed.by != "" || len(f.Authors) == 0 || slices.ContainsFunc(f.Authors, func(a policy.Author) bool {
		victim := holders[a.Domain] >= party || a.Verdict.Status == dmarc.TempError
		return victim && a.PassBy() == "" && !a.Verdict.AlignedSPF && !a.Verdict.AlignedDKIM
	})
}

// without is the plain message without the author domains of f that pass: they are
// the third party's own, so that the message is about the others alone.
func without(plain policy.Facts, f *policy.Facts) policy.Facts {
	if len(f.Authors) > 1 {
		plain.Authors = slices.Clone(plain.Authors)
		for _, a := range f.Authors {
			if a.PassBy() != "" || a.Verdict.AlignedSPF || a.Verdict.AlignedDKIM {
				plain.Authors = slices.DeleteFunc(plain.Authors, func(p policy.Author) bool { return p.Domain == a.Domain })
			}
		}
	}
	return plain
}

func joined(list []string) string { return strings.Join(list, " ") }
