// Package rooms tests rules about the whole tree: imports between rooms, their
// sizes, and the pages of docs that describe them. It has no code of its own.
package rooms
