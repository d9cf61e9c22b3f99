package policy

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy/pattern"
)

// faultChecks are the errors of one rule in what it says of itself and what it
// is about. Package lint tells whether it can be trusted with that.
var faultChecks = []check{
	{CodeBadID, badID},
	{CodeNoOwner, noOwner},
	{CodeNoCreated, noCreated},
	{CodeBadPriority, badPriority},
	{CodeBadReason, badReason},
	{CodeBadReportComment, badReportComment},
	{CodeNoReply, noReply},
	{CodeBadSample, badSample},
	{CodeBadIdle, badIdle},
	{CodeNoEnd, noEnd},
	{CodeEndsFirst, endsFirst},
	{CodeNoMatch, noMatch},
	{CodeEmptyList, emptyList},
	{CodeUnknownWord, unknownWord},
	{CodeBadRange, badRange},
	{CodeResultPass, resultPass},
	{CodeRejectPass, rejectPass},
	{CodeTightenOnly, tightenOnly},
	{CodeWrongResult, wrongResult},
	{CodeWrongOrg, wrongOrg},
	{CodeMappedNetwork, mappedNetwork},
	{CodeHidesReports, hidesReports},
	{CodeNoRecord, noRecord},
}

// Forwarded is a reason of RFC 7489, Appendix C, that RFC 9990 no longer has.
const Forwarded Reason = "forwarded"

var ruleReasons = []Reason{TrustedForwarder, MailingList, LocalPolicy, Other, Forwarded}

func badID(r *Rule) (pattern.Fault, bool) {
	bad := r.ID == "" || len(r.ID) > MaxRuleID || r.ID[0] == '-' || strings.Trim(r.ID, "abcdefghijklmnopqrstuvwxyz0123456789-") != ""
	return fault(bad, "id", fmt.Sprintf("%q cannot name a rule", r.ID),
		fmt.Sprintf(`use a to z, 0 to 9 and "-", not first, at most %d characters`, MaxRuleID))
}

func noOwner(r *Rule) (pattern.Fault, bool) {
	return fault(r.Owner == "", "owner", "is empty", "write an address or team responsible for the rule")
}

func noCreated(r *Rule) (pattern.Fault, bool) {
	return fault(r.Created.IsZero(), "created", "is missing", "write the day, as in created = 2026-11-02")
}

func badPriority(r *Rule) (pattern.Fault, bool) {
	return fault(r.Priority < 0 || r.Priority > MaxPriority, "priority",
		fmt.Sprintf("%d is out of range", r.Priority), fmt.Sprintf("write 0 to %d", MaxPriority))
}

// badReason: that a policy was lowered by pct or t is said when it was, and
// not by a rule.
func badReason(r *Rule) (pattern.Fault, bool) {
	const fix = `write "trusted_forwarder", "mailing_list", "local_policy", "forwarded" or "other"`
	if r.Reason == SampledOut || r.Reason == PolicyTestMode {
		return fault(true, "reason", fmt.Sprintf("%q describes the published policy, not the effect of a rule", r.Reason), fix)
	}
	bad := !slices.Contains(ruleReasons, r.Reason) && (r.Reason != "" || r.Action == RuleAccept)
	return fault(bad, "reason", fmt.Sprintf("%q is not a reason for a report", r.Reason), fix)
}

func badReportComment(r *Rule) (pattern.Fault, bool) {
	if n := len(r.ReportComment); n > MaxReportComment {
		return fault(true, "report_comment", fmt.Sprintf("has %d characters, more than %d", n, MaxReportComment), "shorten the text, which a report repeats in each row")
	}
	strange := strings.ContainsFunc(r.ReportComment, func(c rune) bool { return c < ' ' || c > '~' })
	return fault(strange, "report_comment", "has a character that is not printable ASCII", "use printable ASCII on one line")
}

// noReply: a message that is not refused has no reply that a sender reads.
func noReply(r *Rule) (pattern.Fault, bool) {
	return fault(r.Text != "" && r.Action != RuleReject && r.Action != RuleTempfail, "text",
		fmt.Sprintf("the action %v gives no reply with a text of the rule", r.Action), `remove the key, or write action = "reject" or "tempfail"`)
}

func badSample(r *Rule) (pattern.Fault, bool) {
	return fault(r.Sample > 100, "sample", fmt.Sprintf("%d percent are more than all", r.Sample), "write at most all, or remove the key")
}

func badIdle(r *Rule) (pattern.Fault, bool) {
	return fault(r.Idle < 0, "idle", "is negative", `write the time without a match before a warning, as in idle = "45d"`)
}

// noEnd: what lets mail in for ever says why.
func noEnd(r *Rule) (pattern.Fault, bool) {
	return fault(r.Action == RuleAccept && r.Expires.IsZero() && r.Comment == "", "expires",
		"an accepting rule never expires", "write a date, or state the reason in comment")
}

func endsFirst(r *Rule) (pattern.Fault, bool) {
	return fault(!r.Expires.IsZero() && !r.Created.IsZero() && !r.Expires.After(r.Created), "expires",
		"is not after created", "the rule matches until expires, or until its day begins in UTC")
}

// hidesReports: domain owners find their forgers in reports. A rule that keeps
// mail out of them says whose.
func hidesReports(r *Rule) (pattern.Fault, bool) {
	named := len(r.Match.Listener) > 0
	for _, k := range r.Match.Keys() {
		named = named || !strings.HasPrefix(k.Name, "not_") && len(k.Domains)+len(k.Networks) > 0
	}
	return fault(r.Action == RuleSkipReport && !named, "match", "nothing at all would be reported",
		"limit the rule to part of the mail, for example with author, policy_domain or client")
}

// noRecord: with the result none there is no record. With temperror, mostly it
// could not be looked up, and then its domain is not known: such a rule would
// miss what it is written for.
func noRecord(r *Rule) (pattern.Fault, bool) {
	m := &r.Match
	without := func(result string) bool {
		return result == dmarc.StatusNone.String() || result == dmarc.TempError.String()
	}
	bad := m.PolicyDomain != nil && len(m.Result) > 0 && !slices.ContainsFunc(m.Result, func(result string) bool { return !without(result) })
	return fault(bad, "match.policy_domain", "never holds where it is meant to: with the result "+pattern.Alternatives(m.Result)+" there is no record, or it could not be looked up",
		"write author, or add another result")
}
