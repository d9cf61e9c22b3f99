package report

import (
	"context"

	"dmarcgate/results"
)

// Scan calls f for each row of a span, in any order, and ends with f's error: the method
// Scan of results.Queries. It must give the same rows whenever it is called.
type Scan func(ctx context.Context, span results.Span, f func(results.Row) error) error

// Builder makes reports of rows.
type Builder struct {
	Identity  Identity
	Generator string // name and version of the program
	Dir       string // for temporary files; "" is that of the system

	// Memory is how many bytes of groups are kept before they are written to a temporary
	// file; 0 is DefaultMemory.
	Memory int
	// EnvelopeTo has records name the domain of the recipients, where there is one.
	// It tells the owner of a domain to whom mail is forwarded.
	EnvelopeTo bool
	// Optional tells which messages are report traffic, for which alone no report is due.
	// nil means none.
	Optional func(*results.Row) bool
	// Discovery tells by which method the record of a row was found, treewalk or psl, or ""
	// when it is not known. nil means that it is never known.
	Discovery func(*results.Row) string
}

// Counts says what became of the rows of a period. The unit up to NoAuthor is a row, from
// there on an author domain of a row. Authors of rows with a usable record are Reported,
// Unreportable or Unreported.
type Counts struct {
	Rows       int64 // read
	Outside    int64 // of another time than the period
	Unanswered int64 // deferred, not answered, or of another program: the MTA has no final answer of ours
	Skipped    int64 // not evaluated: mail of our own users and networks
	NoAuthor   int64 // the From field gave nothing to evaluate

	NoRecord int64 // no record, or not known for a failure of DNS
	Unusable int64 // the record can neither be applied nor reported to (permerror)

	Unreported   int64 // kept out of reports by a rule
	Unreportable int64 // a fact that reports need is missing or was shortened, such as the address of the client
	Reported     int64 // in a report: the sum of Report.Messages

	DroppedSignatures int64 // left out of records of Reported: without selector or domain, or beyond MaxSignatures
}
