package pg

import (
	"context"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// Source is the local store whose rows are shipped. Its methods read what has
// been committed, and none of them makes the mail path wait.
type Source interface {
	// Identities returns the ids of the file, oldest first; there is one at
	// least.
	Identities(ctx context.Context) ([]results.Identity, error)
	// Renew gives the rows from first on, and all that come, a new id.
	Renew(ctx context.Context, first int64) error
	// Openings returns all openings of the file, oldest first.
	Openings(ctx context.Context) ([]results.Opening, error)
	// After returns the rows after seq in their order: at most limit, and no
	// further one once their Encoded has maxBytes.
	After(ctx context.Context, seq int64, limit, maxBytes int) ([]blob.Shipment, error)
	// SetShipped notes that all rows up to seq, and no other, are elsewhere, too.
	SetShipped(ctx context.Context, seq int64) error
	// Restates returns states that changed after their row was stored, at most
	// limit, of rows up to seq.
	Restates(ctx context.Context, seq int64, limit int) ([]results.Restate, error)
	// ClearRestates forgets those that Restates returned.
	ClearRestates(ctx context.Context, done []results.Restate) error
	// Waiting returns what comes after the mark of SetShipped.
	Waiting(ctx context.Context) (results.Waiting, error)
}
