package enforce

import (
	"slices"
	"strings"

	"dmarcgate/message"
	"dmarcgate/milter"
	"dmarcgate/policy"
)

// ReportAddresses are the mailboxes of our own reports about mail. The zero value
// has none.
type ReportAddresses struct {
	Mailboxes    []string // lower case: that reports are from, or that reports of others go to
	BounceDomain string   // lower-case A-labels: every return path there (package report/verp)
}

// traffic says whether a message belongs to the exchange of reports: see
// policy.ReportTraffic. A message to us counts only if all of its recipients are
// addresses of our reports.
func (r ReportAddresses) traffic(env *milter.Envelope, claims message.Claims) policy.ReportTraffic {
	others := func(rcpt string) bool { return !r.has(rcpt) }
	switch {
	case env.MailFrom == "":
		return policy.TrafficNullPath
	case r.has(env.MailFrom), len(env.Rcpts) > 0 && !env.RcptsTruncated && !slices.ContainsFunc(env.Rcpts, others):
		return policy.TrafficOwn
	case claims.Report:
		return policy.TrafficReport
	}
	return ""
}

// has reports whether an envelope address, without brackets, is one of ours.
// Letter case does not matter, because no site has two mailboxes that differ in
// nothing else.
func (r ReportAddresses) has(addr string) bool {
	if r.BounceDomain != "" {
		if domain, _ := message.AddressDomain(addr); domain == r.BounceDomain && strings.HasPrefix(strings.ToLower(addr[:min(len(addr), len(returnPath))]), returnPath) {
			return true
		}
	}
	return slices.ContainsFunc(r.Mailboxes, func(own string) bool { return strings.EqualFold(own, addr) })
}

// returnPath is how the return paths of report mail begin. Other addresses at the
// domain may belong to people.
const returnPath = "b+"
