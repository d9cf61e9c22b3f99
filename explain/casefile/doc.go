// Package casefile reads and writes case files: a message with its envelope, its
// DNS, the settings and rules, and what must become of it, in one text.
// docs/testing.md describes the sections.
//
// Make writes the case of a message that was explained, and takes out of it what
// is private when that is wanted. What the case wants is not what was decided here
// but what comes of the file itself, which is played before it is given away:
// whoever has the file sees what we saw, without our DNS. Read is for whoever runs
// such files. Lines of a sign section are kept as text, because this package holds
// no keys and signs nothing.
package casefile
