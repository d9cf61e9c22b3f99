// Command bench measures what a message costs the daemon: it plays a fixed mix
// of signed messages through the milter socket of a dmarcgate process and
// prints rates, latencies, CPU, allocations and memory for several
// configurations, beside floors of the same run.
//
// It is for the person who changes the message path. It is not a load
// generator for other hosts, and its rates are not what a mail server
// achieves: client, name server and daemon share the processors, and no MTA is
// there.
//
// # What is measured
//
// The daemon is the shipped binary in a process of its own, so that its CPU
// clock has nothing of the client's or the name server's. Each connection
// sends its next message when the last is answered. Caches are warm: before
// the first measured message, one of every domain and key has gone through.
//
//   - milter floor: the same milter room in front of a handler that answers
//     "continue" and keeps nothing, in another process, by the same client;
//   - crypto floor: SHA-256 of each body and header and the verification of as
//     many signatures, by one thread, without I/O or canonicalization;
//   - floor with canonicalization: the same from the message as it stands, with
//     the standard library.
//
// The figure that counts is the ratio: the daemon's CPU for a message, divided
// by the sum of both floors as measured in the same repetition. Other figures
// belong to the machine and the hour; the ratio does much less.
//
// # The grid
//
// Another part plays the mix in SMTP sessions of 1 to 5 messages, 1, 10 and 50
// at once, over milter connections of one session and over those that last, on
// daemons that differ in the durability of their store, and on Debian's OpenDKIM
// and OpenDMARC one behind the other (chain.go). Time counts from connect or MAIL
// to the answer. Rows under the same load are compared in the same repetition.
//
// # The replay
//
// Another part has the command what-if read a store, beside a bare scan of the
// same rows.
//
// # The status pages
//
// Another part plays the mix while readers load the status pages of the daemon
// without a pause (pages.go), beside the same mail without readers.
//
// # The reports
//
// Processes of their own make the documents of a day, of usual mail and of mail with no
// two equal results, beside a bare scan of the same rows. smtp-source and Mail::DMARC are
// measured beside the delivery of mails and the documents of fewer rows (peers.go).
//
// The last part plays the mix at a part of the highest rate while the daemon makes the
// reports about a day, beside the same mail without reports (rendering.go).
//
// # The mix
//
// Sizes, signatures and domains follow from a seed (mix.go). Keys and
// therefore signatures are new in each run, which changes no figure. Every
// answer is checked: a verdict that the mix does not have ends the run, so that
// a failure is never measured as a fast success.
//
// # Limits and failures
//
// Linux only: it reads the CPU clock of another process and /proc. It holds at
// most maxCorpus messages of 46 KB on average in memory and plays them again
// beyond that; a million cached names take about half a gigabyte. Everything it
// writes is in one temporary folder, and its children die with it.
package main
