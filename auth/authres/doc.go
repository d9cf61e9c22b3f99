// Package authres writes Authentication-Results fields (RFC 8601) and
// recognises received ones that claim to be ours.
//
// [Format] takes strings that strangers chose (domains, selectors, paths) and
// lets none of them leave its place: each is a token, an address or a
// quoted-string, in printable ASCII, of bounded length. [Claims] reads no more
// of a received field than names its author, and says whether to remove it.
//
// It is not for reading results out of received fields: dmarcgate believes
// none. It does not know which results and properties are registered; that is
// for the rooms that have them.
//
// # Limits
//
// The Max constants, for Format. Claims is linear in the length of the field.
//
// # Failures
//
// There are no errors. What cannot be written is left out or has its bytes
// replaced by "?"; a field that cannot be read is one to remove.
package authres
