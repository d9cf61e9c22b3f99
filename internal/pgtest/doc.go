// Package pgtest gives tests a real PostgreSQL of their own: a private server
// on a loopback port (Start), which can be stopped, killed, restarted and made
// to hang, and a proxy in front of it (Server.Proxy) that drops connections at
// the worst moments, such as between a commit and its acknowledgement.
//
// The data lives in one directory of the test's own and is not synced to the
// disk; the server is stopped by process id when the test ends, and ends by
// itself should the test process die. A PostgreSQL of the host, running or not,
// is neither used nor disturbed.
//
// It is not for unit tests. What needs the server carries the build tag mta,
// like all tests that need servers; internal/mtatest/install.sh installs it.
//
// Limits: Linux. As root, the server runs as the user postgres or nobody,
// because it refuses to be root.
//
// Failures: a server that cannot be started fails the test with the end of its
// log. A missing program is a failure, never a skipped test.
package pgtest
