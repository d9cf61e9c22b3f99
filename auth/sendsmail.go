package auth

import (
	"context"
	"strings"

	"dmarcgate/auth/arc"
	"dmarcgate/auth/dmarc"
)

// SendsMail is what an author domain tells in the DNS about sending mail. It is
// queried for a message that failed under p=reject, where it is evidence: other
// mail costs no lookup. What is old is no evidence, as what could not be queried
// is none: both come with an error.
type SendsMail struct {
	Queried bool // and answered; otherwise the rest says nothing
	NoSPF   bool // its SPF record is v=spf1 -all and no more
	NullMX  bool // RFC 7505
	Missing bool // NXDOMAIN of the name itself

	Err error // why it is not Queried, if it was tried
}

// followUp looks up what matters to some messages only, when the verdicts are
// known: the chain of ARC of one that does not pass, and the standing of an
// author domain that failed under p=reject.
func (r *Run) followUp() {
	passed := len(r.results.Authors) > 0
	for i := range r.results.Authors {
		a := &r.results.Authors[i]
		v := dmarc.Evaluate(a.Discovery, a.Identifiers)
		passed = passed && v.Status == dmarc.Pass
		if v.Status == dmarc.Fail && v.Policy == dmarc.Reject {
			author := r.query.Authors[i]
			r.do(r.cached, OfAuthor, func(dns CacheOnly) { a.SendsMail = sendsMail(r.ctx, dns, author) })
		}
	}
	validated := r.validate(passed)
	r.wg.Wait()
	r.results.ARC = r.chain(validated)
}

// validate validates the chain of ARC, unless the message passed: then nothing
// is decided by it.
func (r *Run) validate(passed bool) arc.Result {
	if passed && !r.checker.AllChains {
		return r.arc.Unchecked()
	}
	return r.arc.Finish(r.ctx)
}

// sendsMail asks first whether the name exists: that is TXT, which SPF has
// mostly queried, and a domain that does not has nothing else.
func sendsMail(ctx context.Context, dns CacheOnly, author string) SendsMail {
	exists, err := dns.DMARC.Exists(ctx, author)
	if err != nil || !exists {
		return SendsMail{Queried: err == nil, Missing: err == nil, Err: err}
	}
	txts, err := dns.SPF.TXT(ctx, author)
	if err != nil {
		return SendsMail{Err: err}
	}
	if sendsNothing(txts) {
		return SendsMail{Queried: true, NoSPF: true}
	}
	hosts, err := dns.SPF.MX(ctx, author)
	return SendsMail{Queried: err == nil, Err: err, NullMX: err == nil && len(hosts) == 1 && hosts[0] == "."}
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
