// Package sum identifies settings and rules by a few digits, so that a stored message
// and a log line can tell under which of them they were made.
//
// A sum is made when settings are, not for each message. Nothing here can fail.
package sum
