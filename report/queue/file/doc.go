// Package file keeps the queue of reports in a SQLite file of its own, beside the
// store of results.
//
// The file is apart from the store, because SQLite has one writer and an answer to
// the MTA waits for the store. Every commit is synced to the disk: an attempt must not
// be forgotten when the machine loses power after MAIL FROM.
//
// # Failures
//
// A file that is damaged is renamed to NAME.damaged-TIME when it is opened, and a
// new one begun. The new one knows nothing of what was sent: queue.Fence finds that,
// and holds what may have been sent. Damage that a statement finds, and a file that
// was removed, renamed or replaced, fail the statement with queue.ErrReopen, and every one
// after it, until the file is opened again. On a full disk a statement fails, nothing
// is sent, and the next one may succeed.
package file
