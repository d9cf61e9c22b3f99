// Package sqlite keeps the rows of a host in one SQLite file.
//
// A row is a few columns to search by and a blob (results/blob) with the facts that
// the decision was made from and the decision itself: some 450 bytes of file in
// all. The store is one SQLite file (WAL) with one writer: the writer commits as
// soon as it is free, and the rows that came meanwhile go into the same
// transaction. When several messages wait for their answers at
// once, the writer pauses until as many rows wait again, until 4 ms after the begin
// of the last commit at most; with Async, always 20 ms (pause).
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
// A file that is damaged is renamed to NAME.damaged-TIME, with its log, and a new
// one begun with an id of its own: at the start when inspect finds it, later when
// a check does, which runs beside the mail from the start on (checkFiles), or a
// commit, whose rows go into the new file. A file
// that was removed, renamed or replaced under the daemon is left, and the path
// opened again. Whatever is not damage is none: without permission, with a newer
// schema or another program's database, Open fails and says why. On a full disk
// the store goes on without a file until it can have one. Rows are dropped
// before the disk is full, so that the MTA keeps its room (Retention.FreeBytes).
//
// A history that cannot be read is logged, and nothing is known of anybody
// until the next start: no evidence, no refusal because of it.
//
// What each durability can lose: Async what is queued when the process dies,
// which is some 20 ms of mail; Ack nothing when the process dies, the last
// commits when the machine loses power; Disk nothing that was answered after
// its commit.
package sqlite
