package resultstest

import (
	"net/netip"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// Forwarded is a message of a bank that came through somebody else and failed,
// with changes.
func Forwarded(changes ...func(*results.Row)) results.Row {
	r := forwarded()
	for _, c := range changes {
		c(&r)
	}
	return r
}

func forwarded() results.Row {
	return results.Row{
		Facts: policy.Facts{
			Time: time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond), Listener: "mta", QueueID: "4XyZ1", Version: policy.FactsVersion, Seed: 7,
			Client: netip.MustParseAddr("192.0.2.3"), ClientName: "mx.alumni.example", Helo: "mx.alumni.example", MailFrom: "bank.example",
			FromField: policy.FromOneMailbox, Recipients: []string{"receiver.example"},
			SPF: policy.SPF{Result: "fail", Domain: "bank.example"},
			Authors: []policy.Author{{
				Domain: "bank.example", Org: "bank.example", PolicyDomain: "bank.example", Source: "author",
				Verdict: dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100},
			}},
		},
		Decision: policy.Decision{Action: policy.Reject, Disposition: policy.Rejected, Requested: dmarc.Reject, Author: "bank.example", Why: "no aligned SPF or DKIM pass"},
	}
}

// SignedBy adds a signature that passed.
func SignedBy(d string) func(*results.Row) {
	return func(r *results.Row) {
		r.Facts.DKIM = append(r.Facts.DKIM, policy.DKIM{Result: "pass", Domain: d, Selector: "s", HeaderOK: true})
	}
}

// SPFOf makes the envelope sender one of a domain for which SPF passes.
func SPFOf(d string) func(*results.Row) {
	return func(r *results.Row) {
		r.Facts.MailFrom, r.Facts.SPF = d, policy.SPF{Result: "pass", Domain: d}
	}
}

// SealedBy adds a chain; the first sealer recorded a pass for the author if it
// does so.
func SealedBy(d string, records bool) func(*results.Row) {
	return func(r *results.Row) {
		s := policy.Sealer{Domain: d, Selector: "s"}
		if records {
			s.Recorded = []policy.Recorded{{Method: "dmarc", Result: "pass", Domain: "bank.example"}}
		}
		r.Facts.ARC = policy.ARC{Result: "pass", Sealers: []policy.Sealer{s}}
	}
}

// Nameless takes the name of the client away.
func Nameless(r *results.Row) { r.Facts.ClientName = "" }
