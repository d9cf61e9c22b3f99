// Package sampling draws the numbers that say which messages are in a share: of pct,
// of a rule's sample, and of the share that is enforced.
//
// A draw is the same for a retry of a message, and no sender can compute it. Nothing
// here can fail, and nothing is kept.
package sampling
