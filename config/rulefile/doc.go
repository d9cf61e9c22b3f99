// Package rulefile reads the files of override rules and the map files that they
// name, and writes a rule as such a file has it. deploy/rules.d/example.toml,
// which a test compares with this package, tells the operator of the keys.
//
// What makes a rule unsafe is known to policy/lint; what a rule does with a
// message, to policy.
//
// Limits: a file has at most tomlfile.MaxFile bytes; there are at most 200 files,
// policy.MaxRules rules, 100 tests of each and 20,000 of all, and 100 maps of
// pattern.MaxMapEntries items.
//
// Failures: Load returns either a complete Set or an error, never both. A caller
// that reloads keeps the Set it has when Load or Refresh fails.
package rulefile
