package auth

import (
	"context"
	"strings"

	"dmarcgate/auth/dmarc"
)

// Standing is what an author domain tells in the DNS about sending mail. It is
// asked for a message that failed under p=reject, where it is evidence: other
// mail costs no lookup. What is old is no evidence, as what could not be asked
// is none: both come with an error.
type Standing struct {
	Asked   bool // and answered; otherwise the rest says nothing
	NoSPF   bool // its SPF record is v=spf1 -all and no more
	NullMX  bool // RFC 7505
	Missing bool // NXDOMAIN of the name itself
}

// standings asks for the authors to whom it matters.
func (r *Run) standings() {
	for i := range r.results.Authors {
		a := &r.results.Authors[i]
		if v := dmarc.Evaluate(a.Discovery, a.Identifiers); v.Status == dmarc.Fail && v.Policy == dmarc.Reject {
			author := r.query.Authors[i]
			r.do(r.known, func(dns Memory) { a.Standing = standing(r.ctx, dns, author) })
		}
	}
	r.wg.Wait()
}

// standing asks first whether the name exists: that is TXT, which SPF has
// mostly asked, and a domain that does not has nothing else.
func standing(ctx context.Context, dns Memory, author string) Standing {
	exists, err := dns.DMARC.Exists(ctx, author)
	if err != nil || !exists {
		return Standing{Asked: err == nil, Missing: err == nil}
	}
	txts, err := dns.SPF.TXT(ctx, author)
	if err != nil {
		return Standing{}
	}
	if sendsNothing(txts) {
		return Standing{Asked: true, NoSPF: true}
	}
	hosts, err := dns.SPF.MX(ctx, author)
	return Standing{Asked: err == nil, NullMX: err == nil && len(hosts) == 1 && hosts[0] == "."}
}

// sendsNothing reports whether the only SPF record is "v=spf1 -all". One with
// anything else in it may be that of a domain that sends.
func sendsNothing(txts []string) bool {
	records, nothing := 0, false
	for _, txt := range txts {
		terms := strings.Fields(txt)
		if len(terms) == 0 || !strings.EqualFold(terms[0], "v=spf1") {
			continue
		}
		records++
		nothing = len(terms) == 2 && strings.EqualFold(terms[1], "-all")
	}
	return records == 1 && nothing
}
