package sqlite

// InUse reports whether another process has the store at path open. Only one
// may write to it: two would give the same numbers to different rows.
func InUse(path string) bool { return inUse(path) }
