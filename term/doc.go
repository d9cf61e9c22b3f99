// Package term is for what commands print: trees, tables, counts, ages and sizes
// in words, text from outside made printable, words quoted for a shell and
// records quoted for a zone file, and the questions that a command asks on a
// terminal.
//
// It knows nothing of mail and imports no other room, so that every room may use
// it. What it is given from outside may be hostile: [Printable] bounds it to
// MaxShown bytes of printable ASCII.
package term
