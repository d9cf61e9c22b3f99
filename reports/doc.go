// Package reports shows operators the aggregate reports that are made and sent, and
// takes their orders: to send a report now or again, to suppress a destination, to
// pause.
//
// Preview makes the report of one domain from stored messages, without the queue and
// without the network. List, Show and Status read the queue (package report/queue)
// beside the daemon or without one. Plan shows what would become of the reports of a
// day, and changes nothing. Change has the daemon do what is ordered, or does it in
// the queue when no daemon runs. CheckIdentity is for doctor.
//
// Text in reports is of the owners of domains and of mail servers: what is printed is
// printable ASCII of bounded length, but for XML and mail, which --xml and --mail
// print as they are sent.
//
// # Limits
//
// List shows at most Options.Limit reports. A table has at most maxRecords records of
// a document.
package reports
