// Package results keeps one row for each message that was answered.
//
// A row is a few columns to search by and a blob (codec.go) with the facts that
// the decision was made from and the decision itself: some 500 bytes of file in
// all. The store is one SQLite file (WAL) with one
// writer: the writer commits as soon as it is free, and the rows that came
// meanwhile go into the same transaction. On a busy host it makes at most one
// in 3 ms (pace), with Async in 20 ms.
//
// Beside the file it keeps a summary in memory of how each organization
// authenticates its mail (Store.History): bounded, made from the file when that
// is opened, while mail is already served, and kept up by the writer. The mail
// path never waits for a query.
//
// # Failures
//
// Mail never waits for the store longer than Options.Wait, and never fails
// because of it. Add says what became of the row: Written (committed before
// the reply), Late (answered before the commit, which still comes) or Dropped
// (counted by cause in dmarcgate_store_dropped_total). A row whose answer was
// a tempfail, or could not be written to the MTA, is marked and does not count
// in reports: the sender will try again.
//
// A history that cannot be read is logged, and nothing is known of anybody
// until the next start: no evidence, no refusal because of it.
//
// What each durability can lose: Async what is queued when the process dies,
// which is some 20 ms of mail; Ack nothing when the process dies, the last
// commits when the machine loses power; Disk nothing that was answered after
// its commit.
package results
