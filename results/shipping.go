package results

import (
	"errors"
	"time"
)

// ErrReplaced means that the file of the store has become another one, with an
// id and numbers of its own: what was known of it has to be read anew, beginning
// with its identities.
var ErrReplaced = errors.New("the store has a new file")

// Identity says under which store id rows are kept by a database that has the
// rows of several files: those with a sequence from FirstSeq on, up to the
// next identity of the file. A file has more than one after it was found to be
// a copy of another (results/pg).
type Identity struct {
	StoreID  string // 32 hexadecimal digits
	FirstSeq int64
}

// Opening is one time that a file was opened to be written. Two files with the
// same openings up to one of them have the same rows up to there.
type Opening struct {
	Token    string // 32 hexadecimal digits, random
	FirstSeq int64  // no row before it was written in this opening
}

// Restate is a state that a row was given after it was stored.
type Restate struct {
	Sequence int64
	State    State
}

// Waiting is what has not been shipped yet.
type Waiting struct {
	Rows   int64     // rows that were purged may count, too
	Oldest time.Time // time of the first of them; zero when nothing waits
}
