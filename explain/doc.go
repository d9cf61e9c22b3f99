// Package explain shows the decision on one message and its causes: every check and
// lookup in a tree, a text for its sender, a case file that can be passed on
// (package casefile), and the verdicts of other implementations (package second).
//
// A message of a file goes along the path of the daemon, with the same limits and
// a cache of its own. A message of the store is shown as it was recorded, and
// decided again. What only the running daemon knows, such as the history of a
// domain, is named as not told.
package explain
