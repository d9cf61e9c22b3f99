// Package disktest computes for tests the possible contents of a disk after a kill
// of a process or a power cut, at any moment of the process's writes.
//
// The process runs under strace (Trace), which writes down every write,
// truncation, removal and sync (Parse). A Disk takes them one after the other.
// At each point it knows what a kill leaves, which is all that was written
// (Killed), and what a power cut may leave: all that was synced, and of the
// rest any sectors (Cut).
//
// It is not for unit tests: what needs strace carries the build tag mta, like
// all tests that need programs; internal/mtatest/install.sh installs it.
//
// Limits: Linux. A sector of 512 bytes is written whole or not at all, and a
// disk that says that it has synced has. A file that was made does not vanish
// with its name; one that was removed may come back until its directory is
// synced, or a new file of its name. What a process does to a mapped file is
// not seen.
package disktest
