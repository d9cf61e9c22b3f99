package policy

import (
	"slices"
	"time"

	"dmarcgate/policy/pattern"
)

// When a rule is worth a look.
const (
	SoonExpires = 14 * 24 * time.Hour
	longest     = 366 * 24 * time.Hour
)

// doubtChecks are the warnings about one rule that is sound and not off.
var doubtChecks = []check{
	{CodeSharedSender, Warning, sharedSenderOfAuthors},
	{CodeManyAddresses, Warning, quiteManyAddresses},
	{CodePrivateNetwork, Warning, privateNetwork},
	{CodeOpenSealer, Warning, openSealer},
	{CodeContradiction, Warning, contradiction},
	{CodeEverybody, Warning, acceptsEverybody},
	{CodeOwnDomain, Warning, ownDomain},
	{CodeSoftens, Warning, softens},
	{CodeTempError, Warning, ofTempError},
	{CodeReportReason, Warning, reportReason},
	{CodeExpired, Warning, expired},
	{CodeExpiresSoon, Warning, expiresSoon},
	{CodeLongLived, Warning, longLived},
	{CodeIdle, Warning, idle},
	{CodeUntested, Warning, untested},
}

func acceptsEverybody(r *Rule, o *LintOptions) (pattern.Fault, bool) {
	m := &r.Match
	if _, said := openSealer(r, o); said {
		return pattern.Fault{}, false
	}
	return fault(r.Action == RuleAccept && len(m.HeaderFrom)+len(m.PolicyDomain)+len(m.RcptDomain) == 0, "match",
		"it accepts mail of any author for any recipient", "add rcpt_domain or header_from, as far as the sender is needed")
}

// ownDomain: mail in our own name that fails is what an impostor sends to our
// users, and its way in.
func ownDomain(r *Rule, _ *LintOptions) (pattern.Fault, bool) {
	if r.Action != RuleAccept || len(r.Match.HeaderFrom) == 0 || len(r.Match.RcptDomain) == 0 {
		return pattern.Fault{}, false
	}
	s := shapeOf(&r.Match)
	return fault(s.find("header_from", false).touches(s.find("rcpt_domain", false)), "match.header_from",
		"it accepts mail to your users in the name of their own domain, from outside", "have that mail signed with DKIM, or remove the domain here")
}

// softens: whoever can write what the rule asks for gains by it.
func softens(r *Rule, _ *LintOptions) (pattern.Fault, bool) {
	m := &r.Match
	fails := m.Result == nil || slices.Contains(m.Result, "fail")
	rejected := m.Requested == nil || slices.Contains(m.Requested, "reject")
	return fault(r.Action == RuleQuarantine && fails && rejected && len(m.anchors()) == 0, "match",
		"anybody can have a rejection turned into quarantine", `add requested = ["none", "quarantine"], or client_ip, spf_pass or dkim_pass of the sender that is meant`)
}

// ofTempError: no policy applies to what could not be judged (RFC 9989, Section
// 5.3.6), and a failure of DNS is mostly nobody's intention.
func ofTempError(r *Rule, _ *LintOptions) (pattern.Fault, bool) {
	return fault(r.Action == RuleQuarantine && slices.Contains(r.Match.Result, "temperror"), "match.result",
		"it puts mail aside because DNS failed", `remove "temperror", or write action = "tempfail"`)
}

// reportReason: the mail is handled as the rule says all the same, and the
// report says so in other words, so this keeps no rule from being loaded.
func reportReason(r *Rule, o *LintOptions) (pattern.Fault, bool) {
	return fault(o.ReportsOf == "rfc9990" && r.Reason == forwardedReason, "reason",
		`reports of RFC 9990 have no "forwarded": they will say "other", with a comment`, `write "trusted_forwarder", or "mailing_list" for a list`)
}

func expired(r *Rule, o *LintOptions) (pattern.Fault, bool) {
	return fault(!o.Now.IsZero() && r.Expired(o.Now), "expires", "it has ended and matches nothing", "remove the rule, or write a later day")
}

func expiresSoon(r *Rule, o *LintOptions) (pattern.Fault, bool) {
	if o.Now.IsZero() || r.Expires.IsZero() || r.Expired(o.Now) || r.Expires.Sub(o.Now) > SoonExpires {
		return pattern.Fault{}, false
	}
	return fault(true, "expires", "it ends on "+r.Expires.Format(time.DateOnly), "ask its owner whether it is still needed, and write a later day or remove it")
}

// longLived: a rule that nobody has to look at again outlives its reason, but
// idle tells when it has.
func longLived(r *Rule, _ *LintOptions) (pattern.Fault, bool) {
	if r.Action != RuleAccept && r.Action != RuleSkipReport || r.Idle > 0 {
		return pattern.Fault{}, false
	}
	text := "it never ends"
	if !r.Expires.IsZero() {
		text = "it lasts for more than a year"
	}
	return fault(r.Expires.IsZero() || r.Expires.Sub(r.Created) > longest, "expires", text,
		`write an earlier day, or idle = "45d" to hear when it is no longer used`)
}

func idle(r *Rule, o *LintOptions) (pattern.Fault, bool) {
	if o.Now.IsZero() || o.LastMatch == nil || r.Idle <= 0 || r.Expired(o.Now) {
		return pattern.Fault{}, false
	}
	last, matched := o.LastMatch[r.ID]
	text := "it has not matched since " + last.UTC().Format(time.DateOnly)
	if !matched {
		last, text = r.Created, "it has never matched"
	}
	return fault(o.Now.Sub(last) > r.Idle, "idle", text, "remove the rule if nobody needs it, or raise idle")
}

func untested(r *Rule, _ *LintOptions) (pattern.Fault, bool) {
	return fault(r.Mode == Enforce && len(r.Tests) == 0, "test", "it is enforced, and nothing tests it",
		"write a [[rule.test]] with a message that it is for, and one that it is not")
}
