// Package doctor finds what is wrong between the daemon and its host: a milter
// socket that the MTA cannot reach, another filter that removes our results, a
// name server that refuses, a clock that is wrong. Each finding has an id, which
// docs/doctor.md explains, a sentence and the lines to put in.
//
// It decides about facts (Host) that package doctor/gather has collected, and
// does no I/O itself: a fault can be planted in a test as text. What check-config
// finds is among the facts and is repeated, not found again.
//
// A fact that is not known, because this user may not see it or because a server
// does not answer in time, is no finding: Host.Unseen tells what is missing.
//
// Text from the configuration of other programs, from the DNS and from mail is
// made printable where it is shown. Of a list at most maxShown items are named.
package doctor
