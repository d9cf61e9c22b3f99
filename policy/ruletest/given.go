package ruletest

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// What a message of a test has when it is not given.
const (
	defaultAuthor = "author.example"
	defaultRcpt   = "rcpt.example"
)

// maxDefer is the default of max_defer.
const maxDefer = 4 * time.Hour

var errDNS = errors.New("as the test has it")

// Settings returns those that the message of a test is decided under.
func Settings(g policy.Given, rules policy.Rules) policy.Settings {
	s := policy.Settings{Profile: policy.Strict, EnforceShare: 100, Quarantine: policy.Tag, TempOurs: policy.Tag, TempDomain: policy.Tempfail, TempUnknown: policy.Tag, MaxDefer: maxDefer, Rules: rules}
	if g.Profile != policy.Monitor {
		s.Profile = g.Profile
	}
	return s
}

// Facts returns the message of a test. created is the day on which its rule was made: the
// message comes at noon of that day where no time is given, or at created where that
// has a time of day.
func Facts(g policy.Given, created time.Time) policy.Facts {
	f := policy.Facts{
		Time: g.Time, Listener: g.Listener, Client: g.Client, ClientName: g.Name, Helo: g.Helo, NullPath: g.NullPath,
		MailFrom: g.MailFrom, Recipients: g.Rcpt, FromField: fromField(g),
		IsList: g.ListHeaders, ListID: g.ListID, Automatic: g.Automatic, TLS: g.TLS, EarlierSPFFail: g.EarlierSPFFail,
		Seed: 1, Version: policy.FactsVersion,
	}
	if f.Time.IsZero() {
		if f.Time = created; created.Equal(created.Truncate(24 * time.Hour)) {
			f.Time = created.Add(12 * time.Hour)
		}
	}
	if len(f.Recipients) == 0 {
		f.Recipients = []string{defaultRcpt}
	}
	authors := authorsOf(g)
	if f.MailFrom == "" && !f.NullPath {
		f.MailFrom = authors[0]
	}
	f.SPF = policy.SPF{Result: cmp.Or(g.SPF, "none"), Domain: f.MailFrom}
	if f.NullPath { // RFC 7208, Section 2.4
		f.SPF.Domain = f.Helo
	}
	f.DKIM = signatures(g, f.Time)
	f.ARC = chain(g, authors)
	if f.FromField == policy.FromOneMailbox || f.FromField == policy.FromSeveralMailboxes || f.FromField == policy.FromSeveralDomains {
		for _, domain := range authors {
			f.Authors = append(f.Authors, authorOf(g, domain, f))
		}
	}
	return f
}

func authorsOf(g policy.Given) []string {
	if len(g.Author) == 0 {
		return []string{defaultAuthor}
	}
	return g.Author
}

func fromField(g policy.Given) policy.From {
	switch {
	case g.FromField != "":
		return g.FromField
	case len(g.Author) > 1:
		return policy.FromSeveralDomains
	}
	return policy.FromOneMailbox
}

func signatures(g policy.Given, now time.Time) []policy.DKIM {
	var list []policy.DKIM
	for _, s := range g.DKIM {
		result, domain, _ := strings.Cut(s, ":")
		d := policy.DKIM{Result: result, Domain: domain, Selector: "test", Algorithm: "rsa-sha256", Canon: "relaxed/relaxed", KeyBits: 2048, SignedAt: now}
		if result == "body" {
			d.Result = "fail"
		}
		d.HeaderOK = result == "body" || result == "pass"
		list = append(list, d)
	}
	return list
}

func chain(g policy.Given, authors []string) policy.ARC {
	if len(g.ARC) == 0 {
		return policy.ARC{}
	}
	chain := policy.ARC{Result: "pass"}
	for _, domain := range g.ARC {
		chain.Sealers = append(chain.Sealers, policy.Sealer{Domain: domain, Selector: "test"})
	}
	for _, domain := range authors {
		chain.Sealers[0].Recorded = append(chain.Sealers[0].Recorded, policy.Recorded{Method: "dmarc", Result: "pass", Domain: domain})
	}
	return chain
}

// author concludes about one author domain, as auth does.
func authorOf(g policy.Given, domain string, f policy.Facts) policy.Author {
	finder := &dmarc.Finder{Method: dmarc.PSL}
	discovery := discovered(g, domain)
	var ids []dmarc.Identifier
	if f.SPF.Domain != "" {
		ids = append(ids, dmarc.Identifier{Mechanism: dmarc.SPF, Domain: f.SPF.Domain, Passed: f.SPF.Result == "pass"})
	}
	a := policy.Author{Domain: domain, Org: discovery.Org, PolicyDomain: discovery.PolicyDomain, Source: discovery.Source.String(), History: policy.History{Messages: g.History, DKIMPass: g.History}}
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
func discovered(g policy.Given, domain string) dmarc.Discovery {
	d := dmarc.Discovery{Author: domain, Method: dmarc.PSL, Org: dmarc.PublicSuffix().Org(domain)}
	d.Widest = d.Org
	text := "v=DMARC1; p=" + g.Policy
	switch {
	case g.Result == dmarc.TempError.String():
		d.Err = errDNS
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
