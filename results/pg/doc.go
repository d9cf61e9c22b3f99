// Package pg keeps the rows of several hosts in one PostgreSQL.
//
// Every host writes its own local store (package results), and mail waits for
// that alone. A Shipper, one goroutine beside it, moves the committed rows to
// PostgreSQL in batches. The local file is the spool: what PostgreSQL cannot
// take now waits there.
//
// A row is known by the id of its store and its sequence there. Each batch is
// one transaction: the rows, and the mark up to where the store is shipped. So
// a batch whose commit was never heard of is found shipped, and no row comes
// twice. While it ships, a Shipper holds an advisory lock on its store, and it
// compares what was noted of the openings of the file on both sides: a file
// that is a copy goes its own way under a new id (when an old state of it was
// put back) or is refused (when it ships from elsewhere).
//
// Rows lie in a partition for each day (UTC), made ahead; retention drops whole
// partitions. All names are in the schema dmarcgate. Connect without a pooler
// that shares sessions: it would share the locks, too.
//
// # Failures
//
// Nothing here makes mail wait. A server that is away, hangs or refuses us is
// tried again, at first after half a second and in the end every half minute;
// rows wait in the local file meanwhile, and Status and the metrics tell how
// many and since when. A row that PostgreSQL will not have is set aside, counted
// and logged, and the next one goes on: it stays in the local file. A database
// of a newer program is used as long as its schema only added to ours; else it
// is left alone and the error says so.
package pg
