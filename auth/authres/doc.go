// Package authres writes Authentication-Results fields (RFC 8601), reads
// received fields, and recognises fields that claim to be ours.
//
// [Format] takes strings that third parties chose (domains, selectors, paths) and
// lets none of them leave its place: each is a token, an address or a
// quoted-string, in printable ASCII, of bounded length. [Parse] reads what a
// field says. [Claims] reads a field up to its first result, with the same
// scanner, and says whether to remove it.
//
// It does not know which results and properties are registered, nor whom to
// believe: that is for the rooms that have them. RFC 8601, Section 4.1, lets a
// reader use nothing that it does not know.
//
// # Limits
//
// The Max constants. Reading looks at each byte of a field a few times at most,
// whatever is in it, and keeps nothing that is longer than the limits.
//
// # Failures
//
// What cannot be written is left out or has its bytes replaced by "?". A field
// whose author cannot be read is an error of Parse and one to remove for
// Claims; a result that cannot be read is passed over and counted.
package authres
