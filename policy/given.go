package policy

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
)

// What a message of a test has when it is not given.
const (
	testAuthor = "author.example"
	testRcpt   = "rcpt.example"
)

// testMaxDefer is the default of max_defer.
const testMaxDefer = 4 * time.Hour

var errTestDNS = errors.New("as the test has it")

// settings are those that the message is decided under.
func (g Given) settings(rules Rules) Settings {
	s := Settings{Profile: Strict, Quarantine: Tag, TempOurs: Tag, TempDomain: Tempfail, TempUnknown: Tag, MaxDefer: testMaxDefer, Rules: rules}
	if g.Profile != Monitor {
		s.Profile = g.Profile
	}
	return s
}

// facts returns the message. created is the day on which the rule was.
func (g Given) facts(created time.Time) Facts {
	f := Facts{
		Time: g.Time, Listener: g.Listener, Client: g.IP, ClientName: g.Name, Helo: g.Helo, NullPath: g.NullPath,
		MailFrom: g.MailFrom, Recipients: g.Rcpt, From: g.fromField(),
		IsList: g.ListHeaders, ListID: g.ListID, Automatic: g.Automatic, TLS: g.TLS,
		Seed: 1, Version: FactsVersion,
	}
	if f.Time.IsZero() {
		f.Time = created.Add(12 * time.Hour)
	}
	if len(f.Recipients) == 0 {
		f.Recipients = []string{testRcpt}
	}
	authors := g.authors()
	if f.MailFrom == "" && !f.NullPath {
		f.MailFrom = authors[0]
	}
	f.SPF = SPF{Result: cmp.Or(g.SPF, "none"), Domain: f.MailFrom}
	if f.NullPath { // RFC 7208, Section 2.4
		f.SPF.Domain = f.Helo
	}
	f.DKIM = g.signatures(f.Time)
	f.ARC = g.chain(authors)
	if f.From == FromOneMailbox || f.From == FromSeveralMailboxes || f.From == FromSeveralDomains {
		for _, domain := range authors {
			f.Authors = append(f.Authors, g.author(domain, f))
		}
	}
	return f
}

func (g Given) authors() []string {
	if len(g.From) == 0 {
		return []string{testAuthor}
	}
	return g.From
}

func (g Given) fromField() From {
	switch {
	case g.FromField != "":
		return g.FromField
	case len(g.From) > 1:
		return FromSeveralDomains
	}
	return FromOneMailbox
}

func (g Given) signatures(now time.Time) []DKIM {
	var list []DKIM
	for _, s := range g.DKIM {
		result, domain, _ := strings.Cut(s, ":")
		d := DKIM{Result: result, Domain: domain, Selector: "test", Algorithm: "rsa-sha256", Canon: "relaxed/relaxed", KeyBits: 2048, SignedAt: now}
		if result == "body" {
			d.Result = "fail"
		}
		d.HeaderOK = result == "body" || result == "pass"
		list = append(list, d)
	}
	return list
}

func (g Given) chain(authors []string) ARC {
	if len(g.ARC) == 0 {
		return ARC{}
	}
	chain := ARC{Result: "pass"}
	for _, domain := range g.ARC {
		chain.Sealers = append(chain.Sealers, Sealer{Domain: domain, Selector: "test"})
	}
	for _, domain := range authors {
		chain.Sealers[0].Recorded = append(chain.Sealers[0].Recorded, Recorded{Method: "dmarc", Result: "pass", Domain: domain})
	}
	return chain
}

// author concludes about one author domain, as auth does.
func (g Given) author(domain string, f Facts) Author {
	finder := &dmarc.Finder{Method: dmarc.PSL}
	discovery := g.discovery(domain)
	var ids []dmarc.Identifier
	if f.SPF.Domain != "" {
		ids = append(ids, dmarc.Identifier{Mechanism: dmarc.SPF, Domain: f.SPF.Domain, Passed: f.SPF.Result == "pass"})
	}
	a := Author{Domain: domain, Org: discovery.Org, PolicyDomain: discovery.PolicyDomain, Source: discovery.Source.String(), History: History{Messages: g.History, DKIMPass: g.History}}
	for _, s := range f.DKIM {
		if dmarc.PublicSuffix().Org(s.Domain) == discovery.Org && discovery.Org != "" || s.Domain == domain {
			a.Signers = append(a.Signers, s.Domain)
		}
		ids = append(ids, dmarc.Identifier{Mechanism: dmarc.DKIM, Domain: s.Domain, Passed: s.Result == "pass"})
	}
	for i := range ids {
		ids[i] = finder.Identify(context.Background(), ids[i], discovery) // by a list: nothing is asked
	}
	if discovery.PolicyDomain != "" {
		a.Record = discovery.Text
	}
	a.Verdict = dmarc.Evaluate(discovery, ids)
	return a
}

// discovery is what was found of an author domain.
func (g Given) discovery(domain string) dmarc.Discovery {
	d := dmarc.Discovery{Author: domain, Method: dmarc.PSL, Org: dmarc.PublicSuffix().Org(domain)}
	d.Widest = d.Org
	text := "v=DMARC1; p=" + g.Policy
	switch {
	case g.Result == dmarc.TempError.String():
		d.Err = errTestDNS
		return d
	case g.Result == dmarc.PermError.String():
		text = "v=DMARC1; p=unreadable; sp=unreadable"
	case g.Policy == "":
		return d
	}
	d.Text, d.Source, d.PolicyDomain = text, dmarc.SourceAuthor, cmp.Or(g.PolicyDomain, domain)
	if d.PolicyDomain != domain {
		d.Source = dmarc.SourceOrg
	}
	d.Record, _, _ = dmarc.ParseRecord(text)
	return d
}
