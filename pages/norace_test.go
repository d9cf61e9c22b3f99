//go:build !race

package pages

// raced reports whether the race detector runs, under which times mean nothing.
const raced = false
