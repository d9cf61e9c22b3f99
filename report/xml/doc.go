// Package xml writes and reads the documents of aggregate reports, in the form of RFC 9990
// (Appendix A) and in that of RFC 7489 (Appendix C).
//
// [Maker] makes the compressed documents of a period. [Write] writes one report, [Read]
// reads one document of this or another program. Writer and reader are in one room so that
// neither has a field that the other lacks.
//
// A document never has what the schemas let pass and readers refuse: a count of 0, a source
// that is no address, a signature without selector, an empty domain. The same report gives
// the same bytes, compressed or not, on any host and in any time zone.
//
// # Limits
//
// A document has at most the bytes of [Limits], as mail and expanded. Larger reports are
// made again for parts of their period, down to one second. Read stops at MaxExpanded bytes,
// texts of MaxText bytes and 16 elements of depth, and refuses document type declarations.
//
// # Failures
//
// Write refuses a report that breaks an invariant (ErrInvalid); Maker hands it over without
// a document, and goes on. Read returns ErrMalformed
// for what is no report, with the line, and ErrLimit for what is beyond the limits.
package xml
