package sending

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"dmarcgate/report/queue"
	"dmarcgate/report/verp"
)

// noteSecret is the name of a note of the queue: 32 random bytes in hexadecimal digits,
// from which return paths are made.
const noteSecret = "verp"

// Key returns the key of return paths. The first call makes it; a host that comes at the
// same time reads what is stored in the end.
func Key(ctx context.Context, q queue.Store) (verp.Key, error) {
	text, err := q.Note(ctx, noteSecret)
	if err == nil && text == "" {
		secret := make([]byte, verp.MinKey)
		_, _ = rand.Read(secret) // never fails
		if err = q.SetNote(ctx, noteSecret, hex.EncodeToString(secret)); err == nil {
			text, err = q.Note(ctx, noteSecret)
		}
	}
	if err != nil {
		return verp.Key{}, err
	}
	secret, err := hex.DecodeString(text)
	if err != nil {
		return verp.Key{}, fmt.Errorf("the key of return paths in the queue of reports: %w", err)
	}
	return verp.NewKey(secret)
}
