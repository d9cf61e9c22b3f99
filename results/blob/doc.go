// Package blob encodes a row for the stores: a few columns to search by, and a blob
// with the rest of the facts and the decision. JSON documents of the same take three
// times as much room, and half of the time of an insertion. It also sees to it that
// a row is not larger than MaxRowBytes, whatever its sender has chosen (Trim).
//
// A blob that is damaged, or of a newer program, is ErrDamaged; reading one
// allocates in proportion to its bytes, whatever they say.
package blob
