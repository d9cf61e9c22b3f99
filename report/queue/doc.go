// Package queue says which states the days, reports, deliveries and suppressed
// addresses of DMARC reporting have, and which step leads from one state to the
// next. Store is the contract that a database has to keep: report/queue/file keeps
// the queue in a file beside the store of results, report/queue/pg in PostgreSQL.
//
// # The way of a report
//
//	day       open → closed → planned → done
//	report    planned → ready → done, or withheld, withdrawn, split, failed, held
//	delivery  due → trying → sent, refused, expired, due again;
//	          or suppressed, unauthorized, withdrawn, withheld
//
// CloseDay ends a day: rows that come later are counted and belong to no report.
// Plan writes all reports of the day in one transaction; a unique key makes each of
// them once, however many hosts plan the same day. StoreBody keeps the document
// before the first attempt, so that a repeated mail has the same bytes. Begin
// commits an attempt before the SMTP client says MAIL FROM, and Settle writes how
// the attempt ended.
//
// No host leads the others. A host takes work under a lease (Lease), by the clock of
// the database, and every step compares the state and the owner with what the host
// expects. A step that comes too late fails with ErrLost and changes nothing.
//
// # Failures
//
// A host that dies leaves its lease, and another host takes the work when the lease
// has expired. A host that dies between the answer 250 of the other server and
// Settle leaves a delivery in trying: the next Begin says so (Attempt.Again), and
// the mail goes out again with the same bytes and the same Report-ID. A mark that
// cannot be written, as on a full disk, takes the attempt back: nothing is sent.
//
// A queue that is older than what this host has sent was restored from a backup, or
// its file was lost. Reconcile finds that by a Mark, which this host keeps outside
// of the queue, and holds everything that may have been sent. Only Retry sends held
// reports.
package queue
