package pg

import (
	"context"
	"errors"

	"dmarcgate/results"
)

// Purge deletes the rows that are meant, of all hosts, and gives their space
// back. It works in slices; what it has deleted stays deleted when it ends
// early. It returns how many rows it deleted.
//
// Run it after the purge of the local stores: what they have not shipped yet
// comes afterwards.
func (r *Reader) Purge(ctx context.Context, p results.Purge) (int64, error) {
	return 0, errors.New("not built yet")
}
