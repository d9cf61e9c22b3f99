// Package due says of which domains a day owes a report, and who wants it: the facts of a
// report that the gates ask for, and the destinations by what the DNS says now. The
// daemon plans with it (report/sending), and the command reports plan shows the same.
//
// # Limits
//
// A lookup of a record with its destinations takes at most lookupTime; a plan makes
// lookups of them at once.
package due

import (
	"context"
	"sync"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/dnscache"
	"dmarcgate/report"
	"dmarcgate/report/consent"
	"dmarcgate/report/gate"
	"dmarcgate/report/queue"
)

// Facts collects what the gates ask about the reports of a day. It is for one goroutine.
type Facts struct {
	Gate         gate.Gate
	Now          time.Time
	Suppressions []gate.Suppression
	// KnownSince is that of results.Queries.
	KnownSince func(ctx context.Context, org string) (time.Time, error)
	// RecordSince is that of queue.Store; nil knows of no record.
	RecordSince func(ctx context.Context, policyDomain string) (time.Time, error)

	known map[string]time.Time // by organization
}

// Of returns the facts of a report, with the gate that is closed for it.
func (f *Facts) Of(ctx context.Context, r *report.Report) (facts gate.Report, why gate.Why, err error) {
	facts = gate.Report{PolicyDomain: r.PolicyDomain, Org: r.Org, Passed: r.Passed > 0, Ordinary: r.Messages - r.Optional, Suppressions: f.Suppressions}
	if facts.FirstSeen, err = f.firstSeen(ctx, r.Org); err != nil {
		return facts, "", err
	}
	why = f.Gate.Report(facts, f.Now)
	if (why == gate.TooNew || why == gate.NoRelation) && f.RecordSince != nil {
		// Only then does it matter since when the record is known.
		if facts.RecordSince, err = f.RecordSince(ctx, r.PolicyDomain); err != nil {
			return facts, "", err
		}
		why = f.Gate.Report(facts, f.Now)
	}
	return facts, why, nil
}

// firstSeen asks once for each organization.
func (f *Facts) firstSeen(ctx context.Context, org string) (time.Time, error) {
	first, asked := f.known[org]
	if asked || org == "" {
		return first, nil
	}
	first, err := f.KnownSince(ctx, org)
	if err != nil {
		return first, err
	}
	if f.known == nil {
		f.known = map[string]time.Time{}
	}
	f.known[org] = first
	return first, nil
}

// Active returns the suppressions that hold at a time, as the gates have them.
func Active(all []queue.Suppression, now time.Time) (list []gate.Suppression) {
	for _, x := range all {
		if x.Active(now) {
			list = append(list, gate.Suppression{Key: gate.Key{Kind: gate.Kind(x.Kind), What: x.What}, Until: x.Until})
		}
	}
	return list
}

// Wanted is what the DNS says now about the reports of a policy domain. The zero value
// wants no report.
type Wanted struct {
	Org     string // organizational domain; "" is not known
	To      []gate.Destination
	Unknown bool // the DNS did not answer
}

// Records looks up the record of a policy domain and the consent of its destinations.
type Records interface {
	Wanted(ctx context.Context, policyDomain string) Wanted
}

// DNS is Records by a checker.
type DNS struct{ consent.Checker }

// NewDNS returns Records for a site. Without suffixes the tree walk finds organizational
// domains.
func NewDNS(dns *dnscache.Resolver, suffixes dmarc.Suffixes) DNS {
	c := consent.Checker{DNS: dns, Method: dmarc.TreeWalk}
	if suffixes != nil {
		c.Method, c.Suffixes = dmarc.PSL, suffixes
	}
	return DNS{c}
}

// Wanted implements Records. The record has to be at the policy domain still: one that
// was found above is about another domain.
func (d DNS) Wanted(ctx context.Context, policyDomain string) Wanted {
	found, _ := d.Find(ctx, d.Method, policyDomain)
	if found.Err != nil {
		return Wanted{Unknown: true}
	}
	want := Wanted{Org: found.Org}
	if found.PolicyDomain != policyDomain {
		return want
	}
	list, _ := d.Check(ctx, found)
	want.To = gate.Destinations(list)
	return want
}

const (
	lookupTime = 10 * time.Second // of one policy domain, with its destinations
	lookups    = 8                // at once, in a plan
)

// Ask looks one record up, within a time.
func Ask(ctx context.Context, r Records, policyDomain string) Wanted {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	return r.Wanted(ctx, policyDomain)
}

// AskAll looks records up, some at a time. It calls step between, with the number of
// those that are done, and ends with its error.
func AskAll(ctx context.Context, r Records, policyDomains []string, step func(done int) error) ([]Wanted, error) {
	all := make([]Wanted, len(policyDomains))
	for done := 0; done < len(all); {
		var wg sync.WaitGroup
		for end := min(done+lookups, len(all)); done < end; done++ {
			i := done
			wg.Go(func() { all[i] = Ask(ctx, r, policyDomains[i]) })
		}
		wg.Wait()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := step(done); err != nil {
			return nil, err
		}
	}
	return all, nil
}
