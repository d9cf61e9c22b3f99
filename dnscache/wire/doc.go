// Package wire speaks DNS with one server: it puts a question into a query,
// sends it over UDP or TCP, and reads the reply that answers it.
//
// It remembers nothing and chooses no server. Names are plain dotted bytes in
// lower case without the final dot, not zone file text, and may be hostile:
// see Clean.
//
// # Limits
//
// Time: that of the caller's context. From one reply: maxRecords records and
// maxAliases CNAMEs of a message of at most 64 KiB, over UDP of maxDatagram
// bytes. After maxWrong datagrams that do not answer the query it is given up,
// as they may be forged. A chain of CNAMEs costs maxChase further questions.
//
// # What a server does
//
// KindOf and Reply.Failure name it:
//
//	silence, or only what answers another question   Timeout
//	cannot be reached                                Network
//	a reply that cannot be read, a CNAME loop        Malformed (over UDP when the time is up)
//	SERVFAIL with a DNSSEC reason (RFC 8914)         Bogus
//	SERVFAIL without, and every other code           ServFail
//	REFUSED, or a referral                           Refused
//
// and this host, when it has no socket left to give: Local.
package wire
