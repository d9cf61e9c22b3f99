package lint

import (
	"slices"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// When a rule is worth a look.
const (
	SoonExpires = 14 * 24 * time.Hour
	longest     = 366 * 24 * time.Hour
)

// doubtChecks are the warnings about one rule that is sound and not off.
var doubtChecks = []check{
	{policy.CodeSharedSender, policy.Warning, sharedSenderOfAuthors},
	{policy.CodeManyAddresses, policy.Warning, quiteManyAddresses},
	{policy.CodePrivateNetwork, policy.Warning, privateNetwork},
	{policy.CodeOpenSealer, policy.Warning, openSealer},
	{policy.CodeContradiction, policy.Warning, contradiction},
	{policy.CodeEverybody, policy.Warning, acceptsEverybody},
	{policy.CodeOwnDomain, policy.Warning, ownDomain},
	{policy.CodeSoftens, policy.Warning, softens},
	{policy.CodeTempError, policy.Warning, ofTempError},
	{policy.CodeReportReason, policy.Warning, reportReason},
	{policy.CodeExpired, policy.Warning, expired},
	{policy.CodeExpiresSoon, policy.Warning, expiresSoon},
	{policy.CodeLongLived, policy.Warning, longLived},
	{policy.CodeIdle, policy.Warning, idle},
	{policy.CodeUntested, policy.Warning, untested},
}

func acceptsEverybody(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	m := &r.Match
	if _, said := openSealer(r, o); said {
		return pattern.Fault{}, false
	}
	return fault(r.Action == policy.RuleAccept && len(m.HeaderFrom)+len(m.PolicyDomain)+len(m.RcptDomain) == 0, "match",
		"it accepts mail of any author for any recipient", "add rcpt_domain or header_from, as far as the sender is needed")
}

// ownDomain: mail in our own name that fails is what an impostor sends to our
// users, and its way in.
func ownDomain(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	if r.Action != policy.RuleAccept || len(r.Match.HeaderFrom) == 0 || len(r.Match.RcptDomain) == 0 {
		return pattern.Fault{}, false
	}
	s := shapeOf(&r.Match)
	return fault(s.find("header_from", false).touches(s.find("rcpt_domain", false)), "match.header_from",
		"it accepts mail to your users in the name of their own domain, from outside", "have that mail signed with DKIM, or remove the domain here")
}

// softens: whoever can write what the rule asks for gains by it.
func softens(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	m := &r.Match
	fails := m.Result == nil || slices.Contains(m.Result, "fail")
	rejected := m.Requested == nil || slices.Contains(m.Requested, "reject")
	return fault(r.Action == policy.RuleQuarantine && fails && rejected && len(anchorsOf(m)) == 0, "match",
		"anybody can have a rejection turned into quarantine", `add requested = ["none", "quarantine"], or client_ip, spf_pass or dkim_pass of the sender that is meant`)
}

// ofTempError: no policy applies to what could not be judged (RFC 9989, Section
// 5.3.6), and a failure of DNS is mostly nobody's intention.
func ofTempError(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	return fault(r.Action == policy.RuleQuarantine && slices.Contains(r.Match.Result, "temperror"), "match.result",
		"it puts mail aside because DNS failed", `remove "temperror", or write action = "tempfail"`)
}

// reportReason: the mail is handled as the rule says all the same, and the
// report says so in other words, so this keeps no rule from being loaded.
func reportReason(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	return fault(o.ReportsOf == "rfc9990" && r.Reason == policy.Forwarded, "reason",
		`reports of RFC 9990 have no "forwarded": they will say "other", with a comment`, `write "trusted_forwarder", or "mailing_list" for a list`)
}

func expired(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	return fault(!o.Now.IsZero() && r.Expired(o.Now), "expires", "it has ended and matches nothing", "remove the rule, or write a later day")
}

func expiresSoon(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	if o.Now.IsZero() || r.Expires.IsZero() || r.Expired(o.Now) || r.Expires.Sub(o.Now) > SoonExpires {
		return pattern.Fault{}, false
	}
	return fault(true, "expires", "it ends on "+r.Expires.Format(time.DateOnly), "ask its owner whether it is still needed, and write a later day or remove it")
}

// longLived: a rule that nobody has to look at again outlives its reason, but
// idle tells when it has.
func longLived(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	if r.Action != policy.RuleAccept && r.Action != policy.RuleSkipReport || r.Idle > 0 {
		return pattern.Fault{}, false
	}
	text := "it never ends"
	if !r.Expires.IsZero() {
		text = "it lasts for more than a year"
	}
	return fault(r.Expires.IsZero() || r.Expires.Sub(r.Created) > longest, "expires", text,
		`write an earlier day, or idle = "45d" to hear when it is no longer used`)
}

func idle(r *policy.Rule, o *Options) (pattern.Fault, bool) {
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

func untested(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	return fault(r.Mode == policy.Enforce && len(r.Tests) == 0, "test", "it is enforced, and nothing tests it",
		"write a [[rule.test]] with a message that it is for, and one that it is not")
}
