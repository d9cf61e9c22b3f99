// Package report makes aggregate reports (RFC 9990) from the rows of a store: it
// groups the messages of a period by policy domain and published policy, and counts
// equal results.
//
// A [Builder] reads the rows once for all domains, in any order, and hands over one
// [Report] after the other, by policy domain. The same rows give the same reports, with
// records in the same order, whatever store they come from. report/xml writes a report
// as a document, and reads documents.
//
// It looks nothing up, sends nothing, and does not decide whether a report may be sent:
// rows have no destinations (rua), so the caller looks up the record of each domain when
// a report is due.
//
// # Limits
//
// Memory is limited, however many rows and different results a day has: what does not
// fit is sorted and written to temporary files (Builder.Dir). A record names at most
// MaxSignatures signatures, and texts of at most MaxText bytes.
//
// # Failures
//
// An error of the scan or of a temporary file ends the work; reports that have been
// handed over by then are complete. A row without the facts that a report needs is in no
// report, and is counted by cause ([Counts]).
package report
