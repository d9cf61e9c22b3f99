// Package term formats the output of commands: trees, tables, counts, ages and
// sizes in words, foreign text made printable, and words quoted for a shell or a
// zone file. It also asks questions on a terminal.
//
// It knows nothing of mail and imports no other room, so that every room may use
// it. What it is given from outside may be hostile: [Printable] bounds it to
// MaxShown bytes of printable ASCII.
package term
