package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Limits of rules.
const (
	MaxRules    = 10_000
	MaxRuleID   = 64
	MaxPriority = 1000

	MaxReportComment = 200 // our limit; a report repeats it in each row

	// MaxNamed is how many rules a decision names beside the one that decided,
	// and how many in shadow: a row is kept for each message.
	MaxNamed = 32

	// The widest networks that anchor a rule by themselves: our limit. Nobody's
	// own networks are wider.
	minAnchor4 = 8
	minAnchor6 = 16
)

// Fault is what is wrong in a rule, and how to mend it. It is permanent.
type Fault struct {
	Key  string // as in a rule file: "match.client_ip"
	Text string
	Mend string
}

// Error returns the fault as one line.
func (f Fault) Error() string {
	text := f.Text + "; " + f.Mend
	if f.Key != "" {
		text = f.Key + ": " + text
	}
	return text
}

var (
	ruleReasons = []Override{TrustedForwarder, MailingList, LocalPolicy, Other}
	ruleResults = []string{"fail", "none", "permerror", "temperror"}
)

// Faults returns what keeps r from being a rule, or nil. A rule that is off
// is checked like any other.
func (r Rule) Faults() []Fault {
	var faults []Fault
	for _, check := range []func(Rule) (Fault, bool){
		checkID, checkOwner, checkCreated, checkPriority, checkReason, checkNever, checkExpires,
		checkKeys, checkEmpty, checkResults, checkResultOfAction, checkOrg, checkAnchor, checkWideNetwork, checkWideDomain,
	} {
		if f, bad := check(r); bad {
			faults = append(faults, f)
		}
	}
	return faults
}

// fault is bad or no fault at all.
func fault(bad bool, key, text, mend string) (Fault, bool) {
	return Fault{Key: key, Text: text, Mend: mend}, bad
}

func checkID(r Rule) (Fault, bool) {
	bad := r.ID == "" || len(r.ID) > MaxRuleID || r.ID[0] == '-' || strings.Trim(r.ID, "abcdefghijklmnopqrstuvwxyz0123456789-") != ""
	return fault(bad, "id", fmt.Sprintf("%q cannot name a rule", r.ID),
		fmt.Sprintf(`use a to z, 0 to 9 and "-", not first, at most %d characters`, MaxRuleID))
}

func checkOwner(r Rule) (Fault, bool) {
	return fault(r.Owner == "", "owner", "is empty", "write who answers for the rule, an address or a team")
}

func checkCreated(r Rule) (Fault, bool) {
	return fault(r.Created.IsZero(), "created", "is missing", "write the day, as in created = 2026-11-02")
}

func checkPriority(r Rule) (Fault, bool) {
	return fault(r.Priority < 0 || r.Priority > MaxPriority, "priority",
		fmt.Sprintf("%d is out of range", r.Priority), fmt.Sprintf("write 0 to %d", MaxPriority))
}

func checkReason(r Rule) (Fault, bool) {
	bad := !slices.Contains(ruleReasons, r.Reason) && (r.Reason != "" || r.Action == RuleAccept)
	return fault(bad, "reason", fmt.Sprintf("%q is not a reason for a report", r.Reason),
		`write "trusted_forwarder", "mailing_list", "local_policy" or "other"`)
}

// checkNever: what lets mail in for ever says why.
func checkNever(r Rule) (Fault, bool) {
	return fault(r.Action == RuleAccept && r.Expires.IsZero() && r.Comment == "", "expires",
		"a rule that accepts never ends", "write a date, or say in comment why it stays")
}

func checkExpires(r Rule) (Fault, bool) {
	return fault(!r.Expires.IsZero() && !r.Created.IsZero() && !r.Expires.After(r.Created), "expires",
		"is not after created", "the rule matches until the day of expires begins, in UTC")
}

// lists returns, for each key of m, whether it is there and how many items
// its list has.
func (m Match) lists() []matchList {
	return []matchList{
		{"client_ip", m.ClientIP != nil, len(m.ClientIP)},
		{"header_from", m.HeaderFrom != nil, len(m.HeaderFrom)},
		{"spf_pass", m.SPFPass != nil, len(m.SPFPass)},
		{"dkim_pass", m.DKIMPass != nil, len(m.DKIMPass)},
		{"rcpt_domain", m.RcptDomain != nil, len(m.RcptDomain)},
		{"listener", m.Listener != nil, len(m.Listener)},
		{"result", m.Result != nil, len(m.Result)},
	}
}

type matchList struct {
	key   string
	there bool
	items int
}

func checkKeys(r Rule) (Fault, bool) {
	some := slices.ContainsFunc(r.Match.lists(), func(l matchList) bool { return l.there })
	return fault(!some, "match", "names no mail", "say what the rule is about, for example with client_ip or header_from")
}

// checkEmpty: no item of an empty list can hold, but a key that is not there
// holds always. Whoever writes an empty list means one or the other.
func checkEmpty(r Rule) (Fault, bool) {
	for _, l := range r.Match.lists() {
		if l.there && l.items == 0 {
			return fault(true, "match."+l.key, "is empty", "write at least one item, or remove the key")
		}
	}
	return Fault{}, false
}

func checkResults(r Rule) (Fault, bool) {
	for _, result := range r.Match.Result {
		if result == "pass" {
			return fault(true, "match.result", "a rule is never about mail that passes", "remove \"pass\"")
		}
		if !slices.Contains(ruleResults, result) {
			return fault(true, "match.result", fmt.Sprintf("unknown word %q", result), `write "fail", "none", "permerror" or "temperror"`)
		}
	}
	return Fault{}, false
}

// checkResultOfAction: a message that could not be judged is never refused
// for good (RFC 9989, Section 5.3.6), and only a fail has a policy to apply.
func checkResultOfAction(r Rule) (Fault, bool) {
	switch {
	case r.Action == RuleReject && slices.Contains(r.Match.Result, "temperror"):
		return fault(true, "match.result", "temperror is never a reason to reject", `remove "temperror", or write action = "tempfail"`)
	case r.Action == RuleAsPublished && slices.ContainsFunc(r.Match.Result, func(s string) bool { return s != "fail" }):
		return fault(true, "match.result", "only mail that fails has a published policy", `write result = ["fail"], or another action`)
	}
	return Fault{}, false
}

// checkOrg: Facts have the Organizational Domain of authors alone.
func checkOrg(r Rule) (Fault, bool) {
	return checkPatterns(append(r.anchorDomains(), patterns{"match.rcpt_domain", r.Match.RcptDomain}), func(p DomainPattern) (Fault, bool) {
		return fault(p.kind == organization, "", fmt.Sprintf("%q is for header_from alone", p),
			fmt.Sprintf("write %q and %q", p.domain, "."+p.domain))
	})
}

// patterns are those of one key.
type patterns struct {
	key  string
	list []DomainPattern
}

func (r Rule) anchorDomains() []patterns {
	return []patterns{{"match.spf_pass", r.Match.SPFPass}, {"match.dkim_pass", r.Match.DKIMPass}}
}

// checkPatterns returns the first fault that check finds.
func checkPatterns(keys []patterns, check func(DomainPattern) (Fault, bool)) (Fault, bool) {
	for _, k := range keys {
		for _, p := range k.list {
			if f, bad := check(p); bad {
				f.Key = k.key
				return f, true
			}
		}
	}
	return Fault{}, false
}

// checkAnchor: whatever else a rule can look at is text that anybody can write.
func checkAnchor(r Rule) (Fault, bool) {
	m := r.Match
	return fault(r.Action == RuleAccept && len(m.ClientIP)+len(m.SPFPass)+len(m.DKIMPass) == 0, "match",
		"anybody can write what it accepts", "add client_ip, spf_pass or dkim_pass of the sender that is meant")
}

func checkWideNetwork(r Rule) (Fault, bool) {
	if r.Action != RuleAccept || len(r.Match.SPFPass)+len(r.Match.DKIMPass) > 0 {
		return Fault{}, false
	}
	for _, pattern := range r.Match.ClientIP {
		p, _ := pattern.Prefix()
		if most := widest(p); p.Bits() < most {
			return fault(true, "match.client_ip", fmt.Sprintf("%v is too wide to be trusted", p),
				fmt.Sprintf("name networks of the sender, /%d or narrower, or add spf_pass or dkim_pass", most))
		}
	}
	return Fault{}, false
}

func widest(p netip.Prefix) int {
	if p.Addr().Is4() {
		return minAnchor4
	}
	return minAnchor6
}

func checkWideDomain(r Rule) (Fault, bool) {
	if r.Action != RuleAccept {
		return Fault{}, false
	}
	return checkPatterns(r.anchorDomains(), everybody)
}

func everybody(p DomainPattern) (Fault, bool) {
	return fault(p.wide(), "", fmt.Sprintf("%q is everybody below a public suffix", p), "name the domains of the sender")
}

// Level is how bad a finding is.
type Level uint8

// The levels. The zero value is the milder one.
const (
	Warning Level = iota // the rules work, perhaps not as they are meant
	Error                // the rules are not loaded
)

// Finding is what Lint says about a rule.
type Finding struct {
	Level Level
	Code  string // one word of a closed list, for programs
	Rule  string // id
	File  string
	Line  int
	Fault
}

// LintOptions are what Lint knows besides the rules. The zero value knows
// nothing.
type LintOptions struct {
	Now       time.Time
	ReportsOf string               // schema of the reports: "rfc9990" or "rfc7489"
	LastMatch map[string]time.Time // by id; nil when it is not known
	Listeners []string             // names; nil when they are not known
}

// Lint returns what is wrong or doubtful in a set of rules, errors first.
func Lint(rules []Rule, o LintOptions) []Finding { return nil }
