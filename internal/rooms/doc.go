// Package rooms has no code: its tests hold rules about the whole tree, such
// as which room may import which.
package rooms
