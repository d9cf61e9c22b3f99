package auth

import (
	"strings"

	"dmarcgate/auth/arc"
	"dmarcgate/auth/authres"
	"dmarcgate/message"
	"dmarcgate/scope"
)

// maxRecorded is how many results of all sealers together are kept: what
// concerns one author domain is two or three for each.
const maxRecorded = 40

// Chain is the ARC chain of a message with what its sealers recorded of the
// author domains. Who the sealers are is theirs to say until somebody knows
// them.
type Chain struct {
	Status     arc.Status
	Why        string
	OldestPass int // see arc.Result
	Stale      bool
	Err        error // the DNS failure for which the chain failed
	Sealers    []Sealer
}

// Sealer is one hop, oldest first.
type Sealer struct {
	Domain, Selector string
	Recorded         []Recorded
}

// Recorded is a result of SPF, DKIM or DMARC in the words of RFC 8601.
type Recorded struct {
	Method, Result string
	Domain         string // lower-case A-labels
}

// chain reads what the sealers recorded.
func (r *Run) chain(found arc.Result) Chain {
	c := Chain{Status: found.Status, Why: found.Why, OldestPass: found.OldestPass, Stale: found.Stale, Err: found.Err}
	left := maxRecorded
	for _, s := range found.Sets {
		sealer := Sealer{Domain: s.Domain, Selector: s.Selector, Recorded: r.recorded(s.Results)}
		sealer.Recorded = sealer.Recorded[:min(len(sealer.Recorded), left)]
		left -= len(sealer.Recorded)
		c.Sealers = append(c.Sealers, sealer)
	}
	return c
}

// recorded returns the results that concern an author domain. A text that
// cannot be read recorded nothing.
func (r *Run) recorded(text string) []Recorded {
	field, err := authres.Parse(text)
	if err != nil {
		return nil
	}
	var out []Recorded
	for _, res := range field.Results {
		if d := checked(res); d != "" && r.concerns(d) {
			out = append(out, Recorded{Method: res.Method, Result: res.Value, Domain: d})
		}
	}
	return out
}

// checked returns the domain that a result is about (RFC 8601, Section 2.7;
// RFC 9989, Section 9.1), "" for one that names none. What was signed is d=;
// i= alone can be below it, and Exchange writes only that.
func checked(res authres.Result) string {
	var text string
	switch res.Method {
	case "dmarc":
		text = res.Get("header", "from")
	case "spf":
		text = res.Get("smtp", "mailfrom")
	case "dkim":
		if text = res.Get("header", "d"); text == "" {
			text = res.Get("header", "i")
		}
	}
	// Zoho writes the address of header.from in angle brackets.
	if inner, ok := strings.CutPrefix(text, "<"); ok {
		if text, ok = strings.CutSuffix(inner, ">"); !ok || strings.ContainsAny(text, "<>") {
			return ""
		}
	}
	text = text[strings.LastIndexByte(text, '@')+1:]
	d, err := message.ParseDomain(text)
	if err != nil {
		return ""
	}
	return d
}

// concerns reports whether a domain is an author domain, or of the same
// organization.
func (r *Run) concerns(domain string) bool {
	for _, a := range r.results.Authors {
		org := a.Discovery.Org
		if domain == a.Discovery.Author || scope.AtOrBelow(domain, org) {
			return true
		}
	}
	return false
}
