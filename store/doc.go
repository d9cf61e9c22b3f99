// Package store does what operators ask of the recorded results: what stands out
// in them, rows for other programs, deleting, and taking over the history of
// OpenDMARC. Reading needs no daemon. What changes the store is done by the daemon
// that runs, because it alone writes to its store, and by this process only when
// none answers. An export needs no more memory for a year than for a day.
package store
