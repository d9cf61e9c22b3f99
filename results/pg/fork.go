package pg

import (
	"math"

	"dmarcgate/results"
)

// never is a sequence that no row has.
const never = math.MaxInt64

// mark is how far this process has shipped a store. The zero value is that of
// one that has not begun.
type mark struct {
	store string // its id
	done  int64  // for certain
	tried int64  // perhaps: the answer to a COMMIT was lost
}

// fork compares a file with what PostgreSQL knows of the store that the file
// says it is. openings are the file's, known are those that PostgreSQL has, and
// shipped is how far that store is shipped. own is what this process itself has
// done to that, the zero value when it has not begun.
//
// It returns the first row that can differ between the file and the store, and
// whether there is one: then the file is a copy of the one that was shipped, or
// that one is a copy of this file, and each has written rows of its own.
//
// A file and its copy have the same openings up to some point, since each
// opening adds a random token. What was shipped in an opening that both know,
// before either was opened anew, both have.
func fork(openings, known []results.Opening, shipped int64, own mark) (first int64, forked bool) {
	ours := make(map[string]bool, len(openings))
	for _, o := range openings {
		ours[o.Token] = true
	}
	foreign := int64(never)
	for _, o := range known {
		if !ours[o.Token] {
			foreign = min(foreign, o.FirstSeq)
		}
	}
	switch begin := ownBegin(openings, known); {
	case foreign != never: // another file was opened as this store
		return min(begin, foreign), true
	case shipped >= begin: // rows that we wrote later have been shipped already
		return begin, true
	case own.store != "" && shipped > own.done && shipped != own.tried: // a running machine was set back
		return own.done + 1, true
	}
	return 0, false
}

// ownBegin returns the first row of the openings that are the file's alone,
// never when there are none.
func ownBegin(openings, known []results.Opening) int64 {
	theirs := make(map[string]bool, len(known))
	for _, o := range known {
		theirs[o.Token] = true
	}
	own := int64(never)
	for i := len(openings) - 1; i >= 0 && !theirs[openings[i].Token]; i-- {
		own = openings[i].FirstSeq
	}
	return own
}
