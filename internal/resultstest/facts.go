package resultstest

import (
	"fmt"
	"net/netip"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/sum"
	"dmarcgate/results"
)

// Day is the day of the messages that Facts makes.
var Day = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

// Failure is a message in the name of an author domain that failed.
func Failure(n int, author string) results.Row {
	return results.Row{
		Facts: policy.Facts{
			Time: time.Now().Add(time.Duration(n)*time.Second - time.Hour).UTC(), Listener: "mta", QueueID: fmt.Sprint("q", n),
			Client: netip.MustParseAddr(fmt.Sprint("203.0.113.", n%200)), Helo: "mx.stranger.example", MailFrom: "stranger.example",
			FromField: policy.FromOneMailbox, Recipients: []string{"receiver.example"},
			SPF: policy.SPF{Result: "pass", Domain: "stranger.example"},
			Authors: []policy.Author{{
				Domain: author, Org: "bank.example", PolicyDomain: "bank.example", Source: "org",
				Verdict: dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100},
			}},
		},
		Decision: policy.Decision{
			Action: policy.Tag, Disposition: policy.Quarantined, Requested: dmarc.Reject, Reason: policy.LocalPolicy,
			Author: author, Why: "no aligned SPF or DKIM pass", Effective: []policy.Policy{{Applied: dmarc.Reject}},
		},
	}
}

// Facts are those of a message that fails; change makes another of it.
func Facts(n int, change ...func(*policy.Facts)) policy.Facts {
	f := Failure(n, "bank.example").Facts
	f.Time, f.Version, f.Seed = Day.Add(time.Duration(n)*time.Second), policy.FactsVersion, uint64(n)+1
	f.Authors[0].Verdict.Why = "no aligned SPF or DKIM pass"
	for _, c := range change {
		c(&f)
	}
	return f
}

// Verdict gives a message another result.
func Verdict(status dmarc.Status, p dmarc.Policy) func(*policy.Facts) {
	return func(f *policy.Facts) { f.Authors[0].Verdict.Status, f.Authors[0].Verdict.Policy = status, p }
}

// Author gives a message another author domain.
func Author(domain, org string) func(*policy.Facts) {
	return func(f *policy.Facts) {
		f.Authors[0].Domain, f.Authors[0].Org, f.Authors[0].PolicyDomain = domain, org, org
	}
}

// Decided is the row of a message as the settings decide it.
func Decided(s policy.Settings, f policy.Facts) results.Row {
	return results.Row{Facts: f, Decision: s.Decide(f), Settings: sum.Settings(s)}
}

// Kinds are messages of all kinds, as the settings decide them.
func Kinds(s policy.Settings) []results.Row {
	var rows []results.Row
	n := 0
	add := func(change ...func(*policy.Facts)) {
		n++
		rows = append(rows, Decided(s, Facts(n, change...)))
	}
	for _, status := range []dmarc.Status{dmarc.StatusNone, dmarc.Pass, dmarc.Fail, dmarc.TempError, dmarc.PermError} {
		for _, p := range []dmarc.Policy{dmarc.None, dmarc.Quarantine, dmarc.Reject} {
			add(Verdict(status, p))
			add(Verdict(status, p), Author("news.shop.example", "shop.example"))
			add(Verdict(status, p), func(f *policy.Facts) { f.Authors[0].Verdict.Pct, f.Authors[0].Draw = 50, 70 })
			add(Verdict(status, p), func(f *policy.Facts) { f.Authors[0].SendsMail = policy.SendsMail{Queried: true, Missing: true} })
		}
	}
	for _, from := range []policy.From{policy.FromMissing, policy.FromEmptyGroup, policy.FromSeveralFields, policy.FromUnparsable} {
		add(func(f *policy.Facts) { f.FromField, f.Authors = from, nil })
	}
	add(func(f *policy.Facts) { f.Skip, f.Authors = policy.Loopback, nil })
	return rows
}
