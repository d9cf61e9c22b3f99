// Package tables has the tables of the queue of reports and the statements on
// them. Both databases execute the same statements, so that no step can differ
// between them: report/queue/file and report/queue/pg bring the connection, the
// clock and the few words that differ.
//
// Every step locks the row of the report first, then that of the day, then those
// of the day's limits, and of the sender last. Two steps can thus never wait for each
// other in a circle.
//
// # Failures
//
// A step is one transaction: it happens as a whole or not at all. When the
// connection breaks while a commit is under way, the caller does not learn which of
// the two; StoreBody and Settle may be repeated then, and the other steps fail with
// queue.ErrLost when they had succeeded.
//
// Text from mail, DNS and servers never stops a step: free text is cut and made
// printable, and a report whose key is unusable is left out of a plan and named
// (queue.PlanResult).
package tables
