// Package view makes what the status pages show out of what the daemon and its
// store say: charts, tables and lights, as values that a template writes.
//
// It reads nothing and decides nothing about mail. Text from mail and DNS goes
// through Shown, which leaves no character that hides or reorders others. Lists
// are bounded by named limits, and say how many lines they leave out.
package view
