// Command bench measures what a message costs the daemon: it plays a fixed mix
// of signed messages through the milter socket of a dmarcgate process and
// prints rates, latencies, CPU, allocations and memory for several
// configurations, beside two floors of the same run.
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
//     many signatures, by one thread, without I/O or canonicalization.
//
// The figure that counts is the ratio: the daemon's CPU for a message, divided
// by the sum of both floors as measured in the same repetition. Other figures
// belong to the machine and the hour; the ratio does much less.
//
// # The engines
//
// Another part compares DKIM and SPF with other implementations, within this
// process and without sockets: each does the same work from memory, with a
// resolver that knows the answer. Calls of all of them alternate, on one
// processor, and the CPU clock of the process counts what their goroutines and
// their garbage cost. Messages come as they are to be had: to the library in
// one piece, to dmarcgate as fields and chunks of the body, as from an MTA.
// Ratios of CPU are held against what is promised (engines.go); a ratio that
// does not keep it is MISSED. No run fails for that: what else the machine
// does can spoil a ratio.
//
// # The DNS cache
//
// Another part holds the cache against what is promised of it (dns.go), within
// this process, in front of a name server of its own that keeps nothing: what a
// hit costs beside a get of the library below, by the CPU clock and in turns as
// above; what a DMARC name takes of the live heap; and what scans of random
// names leave of the names in use. Who uses them matters: those that are looked
// up between the names of a scan are what is promised, and those that hardly
// are, or no more, are shown beside them. Last, the rows of the mix with DNS far
// away and at hand are compared. Run alone, it plays these two rows only.
//
// # The store
//
// Another part plays the mix on daemons that differ in the durability of their
// store, at 1, 10 and 50 connections, in many short measurements by turns, and
// sets each beside the daemon without a store in the same repetition. What the
// store may add to CPU and to the answer, and what a row may take of the file,
// is in store.go. The file that is left is taken apart, and a store in this
// process is filled with its rows to show what they cost without mail.
//
// # The rules
//
// The last part has policy decide about one message with as many rules as
// could match it, and with thousands of others beside them, in turns as above;
// and it has the command what-if read a store, beside a bare scan of the same
// rows. What may be at most is in rules.go.
//
// # The mix
//
// Sizes, signatures and domains follow from a seed (mix.go). Keys and
// therefore signatures are new in each run, which changes no figure. Every
// answer is checked: a message that does not pass DMARC ends the run, so that
// a failure is never measured as a fast success.
//
// # Limits and failures
//
// Linux only: it reads the CPU clock of another process and /proc. It holds at
// most maxCorpus messages of 46 KB on average in memory and plays them again
// beyond that; a million cached names take about half a gigabyte. Everything it
// writes is in one temporary folder, and its children die with it.
package main
