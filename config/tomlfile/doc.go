// Package tomlfile reads a TOML file by a table of its keys: each key once, with
// the place of its value and the values that the key may have. Everything that
// is wrong in a file is reported together, each problem with its line, key, cause
// and fix. The configuration and the files of override rules are read so.
//
// The package knows no key by itself, and opens no file.
//
// Limits: a file has at most MaxFile bytes.
//
// Failures: problems are permanent; reading the same text again gives the same
// ones.
package tomlfile
