// Package mtatest gives tests a real mail system on loopback: a private
// Postfix (StartPostfix) or Sendmail (StartSendmail) whose delivered mail can
// be read back, an SMTP client that can play any client host (Session), a real
// resolver over a zone of the test's own (StartDNS: unbound asking NSD), a real
// forwarder (StartForwarder: dnsmasq), a smarthost that refuses some mail
// (StartSmarthost), and other filters (StartOpenDKIM, StartRspamd).
//
// Postfix is told of the client by XCLIENT; Sendmail, which has no such thing,
// runs on a network of its own, where the client really has its address.
//
// Everything lives in one directory of the test's own, listens on free
// loopback ports, and is stopped by process id when the test ends; a server
// that leaves a process behind fails its test. Servers installed on the host,
// running or not, are neither used nor disturbed. Should the test process die,
// a guard ends the servers, but the directory stays.
//
// It is not for unit tests: those have a resolver and an MTA in process. What
// needs the servers carries the build tag mta. install.sh, beside this file,
// installs them, and has Sendmail unpacked into the checkout's cache folder
// (sendmail.sh).
//
// Limits: Linux; Postfix must be started by root, and Sendmail by a root that
// may make namespaces (CAP_SYS_ADMIN); the directory's path must be short
// enough for UNIX sockets and passable for the user postfix.
//
// Failures: a server that cannot be started fails the test with the end of its
// log. A missing program is a failure, never a skipped test.
package mtatest
