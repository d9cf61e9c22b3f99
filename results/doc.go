// Package results defines the row that is stored for each answered message: its
// fields, the queries that a store answers, and the fields that privacy removes.
//
// The rooms below it keep rows: results/sqlite in a file of this host, results/pg
// in a PostgreSQL of all hosts, both as the bytes of results/blob. results/history
// is what the rows say of the organizations that send mail. This room links none
// of them, so that who makes or shows rows needs no database.
//
// # Failures
//
// Mail never fails because of a store. An Outcome says what became of a row:
// Written (committed before the reply), Late (answered before the commit, which
// still comes) or Dropped. A row whose answer was a tempfail, or could not be
// written to the MTA, is marked and does not count in reports: the sender will
// try again.
package results
