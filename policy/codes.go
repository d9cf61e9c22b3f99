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
	CodeBadSample        = "bad_sample"         // sample is out of range
	CodeBadIdle          = "bad_idle"           // idle is negative
	CodeNoEnd            = "no_end"             // it accepts for ever, and comment does not say why
	CodeEndsFirst        = "ends_first"         // expires is not after created
	CodeNoMatch          = "no_match"           // the match names no mail
	CodeEmptyList        = "empty_list"         // a list without items
	CodeUnknownWord      = "unknown_word"       // a word that its key does not have
	CodeBadRange         = "bad_range"          // hours or numbers that nothing is between
	CodeResultPass       = "result_pass"        // about mail that passes
	CodeWrongResult      = "wrong_result"       // a result that the action cannot be about
	CodeWrongOrg         = "wrong_org"          // "org:" in a key about which no organization is known
	CodeMappedNetwork    = "mapped_network"     // IPv4 in the form of IPv6, in which no client has an address
	CodeUnanchored       = "unanchored"         // it accepts what anybody can write
	CodePublicSuffix     = "public_suffix"      // an anchor that is everybody below a public suffix
	CodeWideNetwork      = "wide_network"       // an anchor that is a network nobody has alone
	CodeOpenNetwork      = "open_network"       // an anchor in a tunnel or translator through which anybody comes
	CodeWildcards        = "wildcards"          // wide anchors, and any author
	CodeHidesReports     = "hides_reports"      // it keeps from reports whatever comes
	CodeUnknownListener  = "unknown_listener"   // a listener that does not exist
	CodeNoRecord         = "no_record"          // about the place of a record, with results that mean there is none or that it is not known

	// Errors or warnings, by how much is at stake.

	CodeManyAddresses = "many_addresses" // anchors of many networks: a warning; of more than that: an error
	CodeSharedSender  = "shared_sender"  // an anchor that anybody can get an account at: an error, a warning with exact authors

	// Errors of the set.

	CodeTooMany     = "too_many"     // more rules than a set may have
	CodeDuplicateID = "duplicate_id" // two rules with one id
	CodeConflict    = "conflict"     // two rules with the same match do different things

	// Warnings.

	CodeUnreachable    = "unreachable"     // another rule decides about all that it matches
	CodeOverlap        = "overlap"         // the id says which of two rules decides
	CodeContradiction  = "contradiction"   // keys that never hold together
	CodePrivateNetwork = "private_network" // an anchor in a network that everybody has
	CodeOpenSealer     = "open_sealer"     // an anchor that seals for everybody, and any author and recipient
	CodeEverybody      = "everybody"       // it accepts for any author and any recipient
	CodeOwnDomain      = "own_domain"      // it accepts from outside what has our own domain as author
	CodeSoftens        = "softens"         // weakens rejection to quarantine for any sender
	CodeTempError      = "temperror"       // it does more about mail that could not be evaluated than wait
	CodeReportReason   = "report_reason"   // reports have no such reason
	CodeExpired        = "expired"         // it has ended
	CodeExpiresSoon    = "expires_soon"    // it ends within SoonExpires
	CodeLongLived      = "long_lived"      // nobody has to look at it for more than a year
	CodeIdle           = "idle"            // it has not matched for longer than idle
	CodeUntested       = "untested"        // it is enforced without a test
)

// Codes returns every code that a finding can have.
func Codes() []string {
	return []string{
		CodeBadID, CodeNoOwner, CodeNoCreated, CodeBadPriority, CodeBadReason, CodeBadReportComment, CodeBadSample, CodeBadIdle,
		CodeNoEnd, CodeEndsFirst, CodeNoMatch, CodeEmptyList, CodeUnknownWord, CodeBadRange, CodeResultPass, CodeWrongResult,
		CodeWrongOrg, CodeMappedNetwork, CodeUnanchored, CodePublicSuffix, CodeWideNetwork, CodeOpenNetwork, CodeWildcards,
		CodeHidesReports, CodeUnknownListener, CodeNoRecord, CodeManyAddresses, CodeSharedSender, CodeTooMany, CodeDuplicateID, CodeConflict,
		CodeUnreachable, CodeOverlap, CodeContradiction, CodePrivateNetwork, CodeOpenSealer, CodeEverybody, CodeOwnDomain,
		CodeSoftens, CodeTempError, CodeReportReason, CodeExpired, CodeExpiresSoon, CodeLongLived, CodeIdle, CodeUntested,
	}
}
