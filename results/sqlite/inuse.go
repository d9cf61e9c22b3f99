package sqlite

import (
	"errors"

	"dmarcgate/results/dbfile"
)

// InUse reports whether another process has the store at path open. Only one
// may write to it: two would give the same numbers to different rows.
func InUse(path string) bool { return dbfile.InUse(path) }

// cause is the label of rows that were lost with an error.
func cause(err error) string {
	if errors.Is(err, errNoSpace) {
		return "no_space"
	}
	return dbfile.Cause(err)
}
