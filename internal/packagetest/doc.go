// Package packagetest gives tests a bare Debian host: a folder with Debian,
// systemd and Postfix, in which systemd runs as on a real host (Start), and the
// Debian package of this checkout to install there (Build).
//
// The host has its own processes, mounts, control groups and a network with
// nothing but loopback. It is made from an archive that root.sh, beside this file,
// keeps in the checkout's cache folder. What a test changes in the host is gone
// when the test ends. Should the test process die, the kernel ends the host; its
// folder stays.
//
// It is not for tests of the daemon alone: those run the program directly.
//
// Limits: Linux, root with CAP_SYS_ADMIN, a mounted cgroup2, and the packages that
// internal/mtatest/install.sh installs.
//
// Failures: a host that does not start fails the test with what systemd printed. A
// missing program is a failure, never a skipped test.
package packagetest
