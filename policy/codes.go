package policy

// The codes of findings. They stay as they are: programs go by them.
const (
	// Errors of one rule.

	CodeBadID            = "bad_id"             // id cannot name a rule
	CodeNoOwner          = "no_owner"           // owner is empty
	CodeNoCreated        = "no_created"         // created is missing
	CodeBadPriority      = "bad_priority"       // priority is out of range
	CodeBadReason        = "bad_reason"         // reason is no word that a rule can report
	CodeBadReportComment = "bad_report_comment" // report_comment is too long or not printable ASCII
	CodeNoReply          = "no_reply"           // a text of a reply, of an action that gives none
	CodeBadSample        = "bad_sample"         // sample is out of range
	CodeBadIdle          = "bad_idle"           // idle is negative
	CodeNoEnd            = "no_end"             // it accepts for ever, and comment does not say why
	CodeEndsFirst        = "ends_first"         // expires is not after created
	CodeCreatedAhead     = "created_ahead"      // created is in the future
	CodeNoMatch          = "no_match"           // the match names no mail
	CodeEmptyList        = "empty_list"         // a list without items
	CodeUnknownWord      = "unknown_word"       // a word that its key does not have
	CodeBadRange         = "bad_range"          // hours or numbers that nothing is between
	CodeResultPass       = "result_pass"        // about mail that passes, and not as such a rule has to be
	CodeRejectPass       = "reject_pass"        // it refuses mail that passes, whoever sends it
	CodeTightenOnly      = "tighten_only"       // a key that is not for rules that let mail in
	CodeWrongResult      = "wrong_result"       // a result that the action cannot be about
	CodeWrongOrg         = "wrong_org"          // "org:" in a key about which no organization is known
	CodeMappedNetwork    = "mapped_network"     // IPv4 in the form of IPv6, in which no client has an address
	CodeHidesReports     = "hides_reports"      // it keeps from reports whatever comes
	CodeUnknownListener  = "unknown_listener"   // a listener that does not exist
	CodeNoRecord         = "no_record"          // about the place of a record, with results that mean there is none or that it is not known

	// What a third party gains by a rule: an error, a warning or a remark, by who can.

	CodeOpensAnybody  = "opens_anybody"  // whoever writes what the rule asks for
	CodeOpensAccount  = "opens_account"  // whoever opens an account at a shared holder
	CodeOpensCustomer = "opens_customer" // customers of a service sold to organizations
	CodeOpensParty    = "opens_party"    // one named party, for authors that are not its own
	CodeAvoided       = "avoided"        // a rule that refuses or defers is avoided by what it leaves out
	CodeNotAttacked   = "not_attacked"   // the work limit was reached before the rule was attacked

	// Errors of the set.

	CodeTooMany     = "too_many"     // more rules than a set may have
	CodeDuplicateID = "duplicate_id" // two rules with one id
	CodeConflict    = "conflict"     // two rules with the same match do different things

	// Warnings.

	CodeNeverDecides = "never_decides" // no message can match, or other rules decide all that do
	CodeOverlap      = "overlap"       // the id says which of two rules decides
	CodeOwnDomain    = "own_domain"    // it accepts from outside what has our own domain as author
	CodeTempError    = "temperror"     // it does more about mail that could not be evaluated than wait
	CodeReportReason = "report_reason" // reports have no such reason
	CodeExpired      = "expired"       // it has ended
	CodeExpiresSoon  = "expires_soon"  // it ends within SoonExpires
	CodeLongLived    = "long_lived"    // nobody has to look at it for more than a year
	CodeIdle         = "idle"          // it has not matched for longer than idle
	CodeUntested     = "untested"      // it is enforced without a test

	// Warnings of rules lint --dns.

	CodeDNSEverybody    = "dns_everybody"     // SPF of an anchor lets in everybody
	CodeDNSWide         = "dns_wide"          // SPF of an anchor lets in more addresses than one party has
	CodeDNSPTR          = "dns_ptr"           // SPF of an anchor lets in clients by their name
	CodeDNSSharedSender = "dns_shared_sender" // SPF of an anchor lets in a shared holder
	CodeDNSSharedClient = "dns_shared_client" // the name of a client is of a shared holder
	CodeDNSNoDomain     = "dns_no_domain"     // the domain of an anchor does not exist
	CodeDNSFailed       = "dns_failed"        // an anchor could not be looked up
	CodeDNSLimit        = "dns_limit"         // an anchor was left out, for a limit
)

// Codes returns every code that a finding can have.
func Codes() []string {
	return []string{
		CodeBadID, CodeNoOwner, CodeNoCreated, CodeBadPriority, CodeBadReason, CodeBadReportComment, CodeNoReply,
		CodeBadSample, CodeBadIdle, CodeNoEnd, CodeEndsFirst, CodeCreatedAhead, CodeNoMatch, CodeEmptyList, CodeUnknownWord,
		CodeBadRange, CodeResultPass, CodeRejectPass, CodeTightenOnly, CodeWrongResult, CodeWrongOrg, CodeMappedNetwork,
		CodeHidesReports, CodeUnknownListener, CodeNoRecord, CodeOpensAnybody, CodeOpensAccount, CodeOpensCustomer,
		CodeOpensParty, CodeAvoided, CodeNotAttacked, CodeTooMany, CodeDuplicateID, CodeConflict, CodeNeverDecides,
		CodeOverlap, CodeOwnDomain, CodeTempError, CodeReportReason, CodeExpired, CodeExpiresSoon, CodeLongLived, CodeIdle,
		CodeUntested, CodeDNSEverybody, CodeDNSWide, CodeDNSPTR, CodeDNSSharedSender, CodeDNSSharedClient, CodeDNSNoDomain,
		CodeDNSFailed, CodeDNSLimit,
	}
}
