// Package sending drives aggregate reports from stored rows to the smarthost: it closes
// days, plans reports, makes documents, and delivers mails, one step after the other.
//
// Sending.Turn does what is due and returns. Run calls Turn once a minute: days are
// closed ten minutes after midnight UTC (queue.CloseAfter), and the clock may jump or
// the host may sleep in between. All times are those of the queue, so hosts that share
// a database mean the same time. Any host may do any step: the queue gives each piece
// of work to one host (queue.Lease).
//
// Rows, DNS, SMTP and the queue are behind the small interfaces of Parts. The room
// decides about nothing that other rooms decide about: package gate says whether a mail
// may leave, package deliver what follows from a reply, package queue when a day ends.
//
// # Limits
//
// No connection is opened while gate.Gate.MaySend is false. The mails of a day are
// spread over six hours, in the order of gate.Report.Compare. A plan keeps at most
// maxWithheld reports that a gate holds back; of further ones the messages are counted
// (queue.Run.LeftOut). A mail takes at most mailTime; package due limits lookups.
//
// # Failures
//
// An error ends the turn. The queue is closed and opened again in the next turn, which
// is what queue.ErrReopen and queue.ErrRestored ask for; what may have been sent before a
// restore is held by queue.Fence. The outcome of an attempt waits for a queue that is
// away, since the mail would leave a second time. Work that another host has taken meanwhile
// (queue.ErrLost) is left to that host. A crash leaves a lease, after which any host goes
// on at the step that was not committed.
package sending
