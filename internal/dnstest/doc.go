// Package dnstest answers DNS queries for tests and for the demo from zone text,
// in process or by a small server on a loopback port. It is not for production.
//
//	srv := dnstest.New(t, `
//		example.com.        TXT "v=spf1 ip4:192.0.2.0/24 -all"
//		_dmarc.example.com. TXT "v=DMARC1; p=reject"
//		!servfail lame.example.com
//	`)
//	cfg := dnscache.Config{Servers: []string{srv.Addr()}}
//
// # Zone text
//
// Lines are those of a zone file (RFC 1035, Section 5), with or without class
// and TTL; the TTL is 300 by default, names are complete with or without the
// final dot, and indentation that all lines share is removed. Wildcards follow
// RFC 4592, a name above another exists (as an empty non-terminal), CNAMEs are
// followed within the text as a recursive server would. Nothing else exists.
//
// A line whose first mark is "!" is a directive. Where one takes a name, "*.name"
// means every name below it, and a type after it restricts it to that type:
//
//	!servfail  NAME [TYPE]    answers SERVFAIL
//	!bogus     NAME [TYPE]    answers SERVFAIL and says that DNSSEC is why (RFC 8914)
//	!refuse    NAME [TYPE]    answers REFUSED
//	!drop      NAME [TYPE]    never answers
//	!slow      NAME TIME      answers after TIME, for example 200ms
//	!truncate  NAME [TYPE]    answers UDP with TC and one record only
//	!notcp     NAME [TYPE]    closes a TCP connection instead of an answer
//	!loop      NAME [TYPE]    answers with two CNAMEs that point to each other
//	!lie       NAME [TYPE]    answers another question instead
//	!garbage   NAME [TYPE]    answers random bytes behind the right ID
//	!broken    NAME [TYPE]    answers with a record that cannot be read
//	!noise     NAME [TYPE]    over UDP, sends forged and broken datagrams first
//	!elsewhere NAME [TYPE]    over UDP, answers from another port and another address only
//	!ad        NAME [TYPE]    sets the AD bit, queried to or not
//	!pressure  NAME [TYPE]    in process, gives way to other lookups; a server cannot, and answers as ever
//	!down                     never answers anything
//	!delay    TIME            answers everything after TIME; !slow has precedence
//	!noedns                   answers FORMERR to queries with EDNS
//	!nosoa                    leaves the SOA out of negative answers
//	!negttl   SECONDS         TTL and MINIMUM of that SOA; default 300
//	!any                      no query is unexpected
//
// Zone.Set changes records while the zone is served, Zone.Fault switches
// directives on and off.
//
// A negative answer carries the SOA of the text that encloses the name, or one
// made up for the name's last label.
//
// # Unexpected queries
//
// A name is expected when some name in the text, or that a CNAME, MX or PTR
// record points to, has the same last two labels; for a top-level domain and
// for _dmarc below one, the same last label. Other queries are answered
// NXDOMAIN, like every name that is not there, but they are also kept for
// Unexpected, and New and NewZone fail their test for them: either the text
// lacks something or the code asks what it should not.
//
// # Failures
//
// In process, a failure is an *Error: always temporary, and ours only with
// !down. A lookup that a server would leave without an answer fails at once
// as a timeout. Bad zone text is an error with its line.
package dnstest
