//go:build race

package main

// raced reports whether the race detector runs, under which times mean nothing.
const raced = true
