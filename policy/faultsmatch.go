package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"dmarcgate/policy/pattern"
)

var (
	ruleResults   = []string{"fail", "none", "permerror", "temperror"}
	passWays      = []string{"spf", "dkim", "both"}
	ruleRequested = []string{"none", "quarantine", "reject"}
	ruleFroms     = []From{
		FromOneMailbox, FromSeveralMailboxes, FromSeveralDomains, FromSeveralFields, FromMissing, FromEmptyGroup, FromUnparsable, FromTruncated,
	}
	// orgKeys: Facts have the Organizational Domain of authors alone, which is
	// that of their records.
	orgKeys = []string{"author", "not_author", "policy_domain", "not_policy_domain"}
)

func noMatch(r *Rule) (pattern.Fault, bool) {
	some := slices.ContainsFunc(r.Match.Keys(), func(k Key) bool { return k.Set && k.Name != "tz" })
	return fault(!some, "match", "names no mail", "add criteria, for example client or author")
}

// emptyList: no item of an empty list can hold, but a key that is not there
// holds always. Whoever writes an empty list means one or the other.
func emptyList(r *Rule) (pattern.Fault, bool) {
	for _, k := range r.Match.Keys() {
		if k.Set && k.Items == 0 {
			return fault(true, "match."+k.Name, "is empty", "write at least one item, or remove the key")
		}
	}
	return pattern.Fault{}, false
}

func unknownWord(r *Rule) (pattern.Fault, bool) {
	m := &r.Match
	if f, bad := strangeWord("match.result", m.Result, append([]string{"pass"}, ruleResults...), ruleResults); bad {
		return f, true
	}
	if f, bad := strangeWord("match.requested", m.Requested, ruleRequested, ruleRequested); bad {
		return f, true
	}
	if f, bad := strangeWord("match.spf", m.SPF, spfWords, spfWords); bad {
		return f, true
	}
	if f, bad := strangeWord("match.pass_by", m.PassBy, passWays, passWays); bad {
		return f, true
	}
	return strangeWord("match.from", m.FromField, ruleFroms, ruleFroms)
}

// strangeWord finds a word that is not among known; better are those to offer.
func strangeWord[T ~string](key string, list, known, better []T) (pattern.Fault, bool) {
	for _, w := range list {
		if !slices.Contains(known, w) {
			return fault(true, key, fmt.Sprintf("unknown word %q", w), "write "+pattern.Alternatives(better))
		}
	}
	return pattern.Fault{}, false
}

func badRange(r *Rule) (pattern.Fault, bool) {
	m := &r.Match
	for _, h := range m.Hours {
		if h.Begin == h.End || min(h.Begin, h.End) < 0 || max(h.Begin, h.End) > pattern.DayMinutes || h.Begin == pattern.DayMinutes {
			return fault(true, "match.time", fmt.Sprintf("%q is not a part of the day", h), `write it as "22:00-06:00"; the whole day needs no key`)
		}
	}
	for _, d := range m.Weekdays {
		if d < pattern.Weekday(time.Sunday) || d > pattern.Weekday(time.Saturday) {
			return fault(true, "match.weekday", fmt.Sprintf("%d is not a day of the week", int(d)), "write "+pattern.Alternatives(pattern.Weekdays()))
		}
	}
	low, high := m.HistoryMin, m.HistoryMax
	switch {
	case m.TZ != nil && m.Hours == nil && m.Weekdays == nil:
		return fault(true, "match.tz", "there is no time and no weekday that it could be of", "add one of them, or remove the key")
	case low != nil && *low < 0:
		return fault(true, "match.history_min", "is negative", "write a number of messages")
	case high != nil && *high < 0:
		return fault(true, "match.history_max", "is negative", "write a number of messages")
	case low != nil && high != nil && *low > *high:
		return fault(true, "match.history_min", fmt.Sprintf("%d is more than history_max, %d", *low, *high), "write the smaller number in history_min")
	}
	return pattern.Fault{}, false
}

// resultPass: what passes is let in as it is, so a rule about it can only do more.
// The history of its domains is not recorded, its chain mostly not checked, and it
// has no policy to apply.
func resultPass(r *Rule) (pattern.Fault, bool) {
	const key = "match.result"
	m := &r.Match
	unknown := m.Requested != nil || m.ARCPass != nil || m.HistoryMin != nil || m.HistoryMax != nil
	switch {
	case !m.passes():
		return fault(m.PassBy != nil || m.EarlierSPFFail != nil, key, "pass_by and earlier_spf_fail are about mail that passes", `write result = ["pass"]`)
	case r.Action == RuleAccept || r.Action == RuleAsPublished || r.Action == RuleSkipReport:
		return fault(true, key, "mail that passes is let in anyway", `remove "pass", or write action = "tag", "quarantine", "tempfail" or "reject"`)
	case len(m.Result) > 1:
		return fault(true, key, `"pass" stands beside other results`, "write two rules")
	}
	return fault(unknown, key, "requested, arc_pass and the history are not known of mail that passes", "remove these keys")
}

// rejectPass: who refuses proved mail names whose, or what it was seen to do.
func rejectPass(r *Rule) (pattern.Fault, bool) {
	m := &r.Match
	named := m.Client != nil || m.IPRev != nil || m.SPFPass != nil || m.DKIMPass != nil || m.EarlierSPFFail != nil && *m.EarlierSPFFail
	return fault(r.Action == RuleReject && m.passes() && !named, "match", "refuses mail that passes, whoever sends it",
		`add client, iprev, spf_pass, dkim_pass or earlier_spf_fail = true, or write action = "tag"`)
}

// tightenOnly: anybody can arrange that nothing passes.
func tightenOnly(r *Rule) (pattern.Fault, bool) {
	m := &r.Match
	lets := r.Action == RuleAccept || r.Action == RuleSkipReport
	switch {
	case lets && m.SPF != nil:
		return fault(true, "match.spf", "anybody can arrange the result of SPF", "remove the key, or name the sender in spf_pass")
	case lets && m.Authenticated != nil:
		return fault(true, "match.authenticated", "anybody can arrange what is authenticated", "remove the key, or name the sender in spf_pass or dkim_pass")
	}
	return pattern.Fault{}, false
}

// wrongResult: a message that could not be evaluated is never refused for good
// (RFC 9989, Section 5.3.6), and only a fail has a policy to apply.
func wrongResult(r *Rule) (pattern.Fault, bool) {
	results := slices.DeleteFunc(slices.Clone(r.Match.Result), func(s string) bool { return !slices.Contains(ruleResults, s) })
	switch {
	case r.Action == RuleReject && slices.Contains(results, "temperror"):
		return fault(true, "match.result", "temperror is never a reason to reject", `remove "temperror", or write action = "tempfail"`)
	case r.Action == RuleReject && slices.Contains(r.Match.SPF, tempWord):
		return fault(true, "match.spf", "temperror is never a reason to reject", `remove "temperror", or write action = "tempfail"`)
	case r.Action == RuleAsPublished && slices.ContainsFunc(results, func(s string) bool { return s != "fail" }):
		return fault(true, "match.result", "only mail that fails has a published policy", `write result = ["fail"], or another action`)
	}
	return pattern.Fault{}, false
}

func wrongOrg(r *Rule) (pattern.Fault, bool) {
	for _, k := range r.Match.Keys() {
		if slices.Contains(orgKeys, k.Name) {
			continue
		}
		for _, p := range k.Domains {
			if p.Kind() == pattern.Organization {
				return fault(true, "match."+k.Name, fmt.Sprintf("%q is for author and policy_domain alone", p), fmt.Sprintf("write %q and %q", p.Name(), "."+p.Name()))
			}
			if p.Map() != nil && p.Map().HasOrgs() {
				return fault(true, "match."+k.Name, fmt.Sprintf(`%q has items with "org:", which are for author and policy_domain alone`, p), "write two items for each there: the domain, and the domain with a dot in front")
			}
		}
	}
	return pattern.Fault{}, false
}

// mappedNetwork: clients are compared without the form that IPv6 sockets give
// to IPv4 (RFC 4291, Section 2.5.5.2), so such a network holds nobody.
func mappedNetwork(r *Rule) (pattern.Fault, bool) {
	for _, k := range r.Match.Keys() {
		for _, n := range k.Networks {
			if p, ok := n.Prefix(); ok && p.Addr().Is4In6() && p.Bits() >= 96 {
				return fault(true, "match."+k.Name, fmt.Sprintf("%v holds no client: IPv4 is compared as IPv4", p),
					fmt.Sprintf("write \"%v\"", netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)))
			}
		}
	}
	return pattern.Fault{}, false
}
