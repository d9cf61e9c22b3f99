//go:build race

package rulefile

// raceFactor is how much more of a processor the race detector takes, at most.
const raceFactor = 4
