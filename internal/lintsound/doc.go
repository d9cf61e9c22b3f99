// Package lintsound has tests of package policy/lint, and nothing else: it tries
// every message of a small world on generated sets of rules, and lint must have
// said what a third party gains. A part of the sets is loaded by a daemon, and
// messages of that world are sent to its milter sockets, with DNS, signatures and
// seals made for each.
//
// It shares no code with lint. Who can arrange which fact of a message is in one
// table, in world_test.go, that a reader can check against the abilities of
// senders without knowing lint.
package lintsound
