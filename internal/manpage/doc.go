// Package manpage writes the parts of the manual pages that a program can
// write: the synopsis and the options of each subcommand from the description
// of the command line, and the keys of a file from an example of the file with
// its comments. A page of deploy/man has such a part between two comment
// lines; all other text of the page is written by hand.
//
// The pages are mdoc(7). Text of the program is escaped, so that no help text
// can become a macro.
package manpage
