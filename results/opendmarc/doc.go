// Package opendmarc reads the history files of OpenDMARC, which Exim writes
// too, and makes rows of results from them.
//
// A history file has a block of lines for each message. The first one is "job",
// the others follow in any order, each a key and its values:
//
//	job 4XyZ01
//	reporter mx1.receiver.example
//	received 1732233600
//	ipaddr 203.0.113.66
//	from bank.example
//	mfrom forwarder.example
//	spf 0
//	dkim forwarder.example s1 0
//	pdomain bank.example
//	policy 16
//	p 114
//	align_dkim 5
//	align_spf 5
//	action 0
//
// Numbers are those of OpenDMARC's headers (codes.go). A value that is missing,
// "-", "(null)" or -1 is not set, a key that stands twice has its last value,
// and a key that is not known is passed over: newer versions add some.
//
// A row made here has the state results.Imported: it is there to be looked at,
// and counts neither in reports nor in what is known of a sender. Of rua, which
// holds mailboxes, nothing is kept.
//
// Limits: a line has maxLine bytes, a block maxLines lines.
//
// Failures: a block that cannot be a row is returned with the reason why, and
// reading goes on behind it. An error is that of the file.
package opendmarc
