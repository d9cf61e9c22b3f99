// Package promtest gives tests a real Prometheus of their own: a private server on a
// loopback port (Start), which can be queried, and promtool (Tool).
//
// The programs are Debian's, unpacked into the checkout's cache folder by
// internal/mtatest/unpack.sh. The data lives in one directory of the test's own; the
// server is stopped by process id when the test ends, and ends should the test process
// die. A Prometheus of the host, running or not, is neither used nor disturbed.
//
// It is not for unit tests. What needs the server carries the build tag mta, like all
// tests that need servers.
//
// Limits: Linux.
//
// Failures: a server that cannot be started fails the test with the end of its log. A
// missing program is a failure, never a skipped test.
package promtest
