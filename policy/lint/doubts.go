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
	{policy.CodeOwnDomain, policy.Warning, ownDomain},
	{policy.CodeTempError, policy.Warning, ofTempError},
	{policy.CodeReportReason, policy.Warning, reportReason},
	{policy.CodeExpired, policy.Warning, expired},
	{policy.CodeExpiresSoon, policy.Warning, expiresSoon},
	{policy.CodeLongLived, policy.Warning, longLived},
	{policy.CodeIdle, policy.Warning, idle},
	{policy.CodeUntested, policy.Warning, untested},
}

// ownDomain: mail in our own name that fails is what an impostor sends to our
// users, and its way in.
func ownDomain(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	if r.Action != policy.RuleAccept || len(r.Match.Author) == 0 || len(r.Match.RcptDomain) == 0 {
		return pattern.Fault{}, false
	}
	return fault(sameDomain(r.Match.Author, r.Match.RcptDomain), "match.author",
		"accepts mail from outside to your users in the name of their own domain", "sign this mail with DKIM, or remove the domain here")
}

// sameDomain reports whether a name is in both lists, as far as their items or the
// names that stand for them tell.
func sameDomain(a, b []pattern.Domain) bool {
	for _, p := range slices.Concat(a, b) {
		for _, name := range namesIn(p) {
			if oneHolds(a, name) && oneHolds(b, name) {
				return true
			}
		}
	}
	return false
}

// ofTempError: no policy applies to what could not be evaluated (RFC 9989, Section
// 5.3.6), and a failure of DNS is mostly nobody's intention.
func ofTempError(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	return fault((r.Action == policy.RuleQuarantine || r.Action == policy.RuleTag) && slices.Contains(r.Match.Result, "temperror"), "match.result",
		"quarantines mail because of DNS failures", `remove "temperror", or write action = "tempfail"`)
}

// reportReason: the mail is handled as the rule says all the same, and the
// report says so in other words, so this keeps no rule from being loaded.
func reportReason(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	return fault(o.ReportsOf == "rfc9990" && r.Reason == policy.Forwarded, "reason",
		`RFC 9990 has no reason "forwarded": reports will have "other" with a comment`, `write "trusted_forwarder", or "mailing_list" for a list`)
}

func expired(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	return fault(!o.Now.IsZero() && r.Expired(o.Now), "expires", "has expired and matches nothing", "remove the rule, or set a later date")
}

func expiresSoon(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	if o.Now.IsZero() || r.Expires.IsZero() || r.Expired(o.Now) || r.Expires.Sub(o.Now) > SoonExpires {
		return pattern.Fault{}, false
	}
	return fault(true, "expires", "expires on "+policy.Moment(r.Expires), "ask the owner whether the rule is still needed; set a later date or remove the rule")
}

// longLived: a rule that nobody has to look at again outlives its reason, but
// idle tells when it has. The time counts from today: who sets a later date has
// just looked.
func longLived(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	if r.Action != policy.RuleAccept && r.Action != policy.RuleSkipReport || r.Idle > 0 {
		return pattern.Fault{}, false
	}
	text := "never expires"
	if !r.Expires.IsZero() {
		text = "is valid for more than a year from today"
	}
	from := o.Now
	if from.IsZero() {
		from = r.Created
	}
	return fault(r.Expires.IsZero() || r.Expires.Sub(from) > longest, "expires", text,
		`set an earlier date, or idle = "45d" for a warning when the rule is no longer used`)
}

func idle(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	if o.Now.IsZero() || o.LastMatch == nil || r.Idle <= 0 || r.Expired(o.Now) {
		return pattern.Fault{}, false
	}
	last, matched := o.LastMatch[r.ID]
	text := "no match since " + last.UTC().Format(time.DateOnly)
	if !matched {
		last, text = r.Created, "no match so far"
	}
	return fault(o.Now.Sub(last) > r.Idle, "idle", text, "remove the rule if nobody needs it, or raise idle")
}

func untested(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	return fault(r.Mode == policy.Enforce && len(r.Tests) == 0, "test", "enforced without a test",
		"add a [[rule.test]] with a matching message and one with another message")
}
