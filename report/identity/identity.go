// Package identity checks that receivers can accept the reports of this site: a
// report mail passes DMARC in our own checker by its signature, the key in the DNS
// is the key that signs, and the domains of its addresses take mail.
//
// No report leaves before the check has succeeded (gate.Verified). The daemon, doctor
// and what prepares sending call Check with the same values.
//
// Limits: of each domain the names of one DMARC walk, one key, and MX, A, AAAA
// and TXT are looked up. How long that takes is limited by the context and by the
// budget of the checker.
//
// Failures: what the DNS does not answer is a Finding that is Temporary.
package identity

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/auth"
	"dmarcgate/auth/dkim"
	"dmarcgate/auth/dmarc"
	"dmarcgate/message"
	"dmarcgate/report/gate"
	"dmarcgate/scope"
	"dmarcgate/term"
)

// DNS is what is asked besides the checks of the mail. Views of dnscache are one.
type DNS interface {
	TXT(ctx context.Context, name string) ([]string, error)
	A(ctx context.Context, name string) ([]netip.Addr, error)
	AAAA(ctx context.Context, name string) ([]netip.Addr, error)
	MX(ctx context.Context, name string) ([]string, error)
}

// Finding is one thing that is wrong with the identity of reports.
type Finding struct {
	Key       string `json:"key"`  // of [reports] that the finding is about
	Text      string `json:"text"` // may name data of the DNS: printable
	Fix       string `json:"fix"`
	Temporary bool   `json:"temporary,omitempty"` // the DNS did not answer: another check may succeed
	Warning   bool   `json:"warning,omitempty"`   // does not keep reports back
}

// Problem returns the first finding that keeps reports back; "" when there is none: the
// identity is verified.
func Problem(found []Finding) string {
	for _, f := range found {
		if !f.Warning {
			return f.Key + ": " + f.Text
		}
	}
	return ""
}

// check is one check under way.
type check struct {
	ctx   context.Context
	dns   DNS
	id    gate.Identity
	found []Finding
}

// Check returns what is wrong with an identity; nothing when all is well. mail is
// a report mail as it would leave, with its signature.
func Check(ctx context.Context, checker *auth.Checker, dns DNS, id gate.Identity, mail []byte) []Finding {
	c := &check{ctx: ctx, dns: dns, id: id}
	for _, key := range id.Missing() {
		c.add(key, "is not set", "set "+key)
	}
	if len(c.found) > 0 {
		return c.found
	}
	domain := domainOf(id.Email)
	c.mail(checker, domain, mail)
	c.takesMail("email", domain, "readers of reports cannot answer")
	if id.BounceDomain != domain {
		c.takesMail("bounce_domain", id.BounceDomain, "bounces get lost, and receivers may refuse the sender")
	}
	c.sender(id.BounceDomain)
	return c.found
}

func (c *check) add(key, text, fix string) {
	c.found = append(c.found, Finding{Key: key, Text: text, Fix: fix})
}

// temporary notes that something could not be looked up.
func (c *check) temporary(key, what string, err error) {
	c.found = append(c.found, Finding{Key: key, Temporary: true, Text: what + " could not be looked up: " + term.ErrorText(err),
		Fix: "try again; check the name servers of the domain"})
}

// mail evaluates a report mail as a receiver does that does not know its client.
func (c *check) mail(checker *auth.Checker, domain string, text []byte) {
	raw, body := message.Split(text)
	header := make(message.Header, len(raw))
	for i, f := range raw {
		header[i] = message.NewField(f)
	}
	author := message.ParseAuthor(header)
	if author.Outcome != message.OneMailbox || author.Domains[0] != domain {
		c.add("email", "report mail is not from one address at "+domain, "write a plain address")
		return
	}
	run := checker.Start(c.ctx, auth.Query{MailFrom: "b+check@" + c.id.BounceDomain, Authors: author.Domains}, header)
	_, _ = run.Write(body) // a checker that needs no more of it says so by an error
	res := run.Finish()
	keys := c.signature(res.DKIM, domain)
	if !c.record(res.Authors[0].Discovery, domain) || !keys {
		return
	}
	if v := dmarc.Evaluate(res.Authors[0].Discovery, res.Authors[0].Identifiers); v.Status != dmarc.Pass {
		c.add("email", "report mail does not pass DMARC: "+term.Printable(v.Why), "sign with a key of "+domain)
	}
}

// record reports whether a DMARC record applies to the domain.
func (c *check) record(d dmarc.Discovery, domain string) bool {
	switch {
	case d.Err != nil:
		c.temporary("email", "the DMARC record of "+domain, d.Err)
	case d.PolicyDomain == "":
		c.add("email", domain+" has no DMARC record: receivers discard reports that do not pass DMARC (RFC 9990, Section 3.5.2)",
			fmt.Sprintf("publish _dmarc.%s TXT \"v=DMARC1; p=reject\"", domain))
	default:
		if org := d.Org; !scope.AtOrBelow(c.id.Submitter, org) && c.id.Submitter != domain {
			c.found = append(c.found, Finding{Key: "submitter", Warning: true,
				Text: fmt.Sprintf("%s is not in the organization of %s: receivers may discard the reports", c.id.Submitter, domain),
				Fix:  "write the domain of email, or a name below it"})
		}
		return true
	}
	return false
}

// signature reports whether the mail has a good signature by our key.
func (c *check) signature(all []dkim.Result, domain string) bool {
	i := slices.IndexFunc(all, func(r dkim.Result) bool { return r.Domain == domain && r.Selector == c.id.Selector })
	if i < 0 {
		c.add("key_file", "report mail is not signed", "name a private key, RSA or Ed25519 in PEM")
		return false
	}
	name := c.id.Selector + "._domainkey." + domain
	publish := fmt.Sprintf("publish %s TXT %q", name, c.id.Key)
	switch r := all[i]; {
	case r.Status == dkim.TempError:
		c.temporary("selector", "the key "+name, r.Err)
	case r.Status == dkim.Fail:
		c.add("key_file", "the key at "+name+" is not the key of key_file: "+term.Printable(r.Why), publish)
	case r.Status != dkim.Pass:
		c.add("selector", "the key at "+name+" cannot be used: "+term.Printable(r.Why), publish)
	case r.Testing:
		c.add("selector", "the key at "+name+" is in test mode: signatures count like none (t=y, RFC 6376, Section 3.6.1)", "remove t=y from the record")
	case r.Stale:
		c.temporary("selector", "the key "+name, fmt.Errorf("stale answer"))
	default:
		return true
	}
	return false
}

// takesMail checks that mail to a domain has a place to go (RFC 5321, Section 5.1).
func (c *check) takesMail(key, domain, consequence string) {
	hosts, err := c.dns.MX(c.ctx, domain)
	if err != nil {
		c.temporary(key, "the MX record of "+domain, err)
		return
	}
	if len(hosts) == 1 && hosts[0] == "." {
		c.add(key, domain+" takes no mail (null MX, RFC 7505): "+consequence, "publish an MX record of a host that takes mail")
		return
	}
	if len(hosts) > 0 {
		return
	}
	four, err4 := c.dns.A(c.ctx, domain)
	six, err6 := c.dns.AAAA(c.ctx, domain)
	switch {
	case len(four)+len(six) > 0:
	case err4 != nil:
		c.temporary(key, "the address of "+domain, err4)
	case err6 != nil:
		c.temporary(key, "the address of "+domain, err6)
	default:
		c.add(key, domain+" has no MX record and no address: "+consequence, fmt.Sprintf("publish %s MX 10 with a host that takes mail", domain))
	}
}

// sender warns of an envelope sender whose domain has no SPF record. DKIM is
// enough for DMARC; some receivers ask for both.
func (c *check) sender(domain string) {
	texts, err := c.dns.TXT(c.ctx, domain)
	isSPF := func(s string) bool {
		version, _, _ := strings.Cut(s, " ")
		return strings.EqualFold(version, "v=spf1")
	}
	if err == nil && !slices.ContainsFunc(texts, isSPF) {
		c.found = append(c.found, Finding{Key: "bounce_domain", Warning: true, Text: domain + " has no SPF record", Fix: fmt.Sprintf("publish %s TXT \"v=spf1 ip4:ADDRESS -all\" with the address of the smarthost", domain)})
	}
}

// domainOf returns the domain of an address of the configuration.
func domainOf(email string) string { return email[strings.LastIndexByte(email, '@')+1:] }
