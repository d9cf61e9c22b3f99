//go:build !race

package rulefile

const raceFactor = 1
