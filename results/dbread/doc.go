// Package dbread reads the rows of a store's SQLite file (results/dbfile), beside
// the writer of a daemon or without one: the newest rows, those of a queue id, all
// of a span of time, and the queries of package results.
//
// It makes no file and changes none. Functions that return SQL columns or scan
// them are for the writer (results/sqlite), which reads the same rows.
package dbread
