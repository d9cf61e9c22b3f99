// Package queuetest tests the queue of reports in any database: each step alone, the
// steps of several hosts in random order, and a host that dies at any of them.
package queuetest
