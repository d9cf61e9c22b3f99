package lint

import (
	"slices"
	"time"

	"dmarcgate/policy"
)

// When a rule is worth a look.
const (
	SoonExpires = 14 * 24 * time.Hour
	longest     = 366 * 24 * time.Hour
)

// doubts returns the warnings about one rule that is sound.
func doubts(r *policy.Rule, o *Options) (found []policy.Finding) {
	doubt := func(is bool, code, key, text, fix string) {
		if is {
			found = append(found, finding(policy.Warning, code, key, text, fix))
		}
	}
	// Mail in our own name that fails is what an impostor sends to our users, and its
	// way in.
	own := r.Match.Author != nil && r.Match.RcptDomain != nil && len(inBothLists(written, r.Match.Author, r.Match.RcptDomain)) > 0
	doubt(own && r.Action == policy.RuleAccept, policy.CodeOwnDomain, "match.author",
		"accepts mail from outside to your users in the name of their own domain", "sign this mail with DKIM, or remove the domain here")
	// No policy applies to what could not be evaluated (RFC 9989, Section 5.3.6), and a
	// failure of DNS is mostly nobody's intention.
	doubt((r.Action == policy.RuleQuarantine || r.Action == policy.RuleTag) && slices.Contains(r.Match.Result, "temperror"), policy.CodeTempError, "match.result",
		"quarantines mail because of DNS failures", `remove "temperror", or write action = "tempfail"`)
	// The mail is handled as the rule says all the same, and the report says so in
	// other words, so this keeps no rule from being loaded.
	doubt(o.ReportsOf == "rfc9990" && r.Reason == policy.Forwarded, policy.CodeReportReason, "reason",
		`RFC 9990 has no reason "forwarded": reports will have "other" with a comment`, `write "trusted_forwarder", or "mailing_list" for a list`)
	today := !o.Now.IsZero()
	ended := today && r.Expired(o.Now)
	doubt(ended, policy.CodeExpired, "expires", "has expired and matches nothing", "remove the rule, or set a later date")
	doubt(today && !ended && !r.Expires.IsZero() && r.Expires.Sub(o.Now) <= SoonExpires, policy.CodeExpiresSoon, "expires",
		"expires on "+policy.Moment(r.Expires), "ask the owner whether the rule is still needed; set a later date or remove the rule")
	text, long := lasts(r, o)
	doubt(long, policy.CodeLongLived, "expires", text, `set an earlier date, or idle = "45d" for a warning when the rule is no longer used`)
	text, unused := idle(r, o)
	doubt(unused && !ended, policy.CodeIdle, "idle", text, "remove the rule if nobody needs it, or raise idle")
	doubt(r.Mode == policy.Enforce && len(r.Tests) == 0, policy.CodeUntested, "test", "enforced without a test",
		"add a [[rule.test]] with a matching message and one with another message")
	return found
}

// lasts reports whether nobody has to look at a rule again, which then outlives its
// reason; but idle tells when it has. The time counts from today: who sets a later
// date has just looked.
func lasts(r *policy.Rule, o *Options) (text string, long bool) {
	from := o.Now
	if from.IsZero() {
		from = r.Created
	}
	switch lets := r.Action == policy.RuleAccept || r.Action == policy.RuleSkipReport; {
	case !lets || r.Idle > 0:
		return "", false
	case r.Expires.IsZero():
		return "never expires", true
	}
	return "is valid for more than a year from today", r.Expires.Sub(from) > longest
}

// idle reports whether a rule has not matched for longer than its key idle says.
func idle(r *policy.Rule, o *Options) (text string, unused bool) {
	if o.Now.IsZero() || o.LastMatch == nil || r.Idle <= 0 {
		return "", false
	}
	last, matched := o.LastMatch[r.ID]
	text = "no match since " + last.UTC().Format(time.DateOnly)
	if !matched {
		last, text = r.Created, "no match so far"
	}
	return text, o.Now.Sub(last) > r.Idle
}
