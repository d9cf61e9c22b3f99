package auth

import (
	"context"
	"errors"

	"dmarcgate/auth/dkim"
	"dmarcgate/auth/dmarc"
	"dmarcgate/auth/spf"
)

// CacheOnly is DNS that answers at once or not at all. It is for one goroutine.
type CacheOnly struct {
	SPF   spf.Resolver
	DKIM  dkim.Resolver
	DMARC dmarc.Resolver

	// Complete reports whether all that was queried since the last call was
	// known. When it was not, what came of the answers is worth nothing.
	Complete func() bool
}

var errUnknown = errors.New("not known without asking")

// keys is the DKIM keys that are known, nil without Memory. Their Parsed is for
// a Memory that is a dkim.Keeper, too.
func (m CacheOnly) keys() dkim.Resolver {
	if m.Complete == nil {
		return nil
	}
	k := cachedKeys{m}
	if keeper, ok := m.DKIM.(dkim.Keeper); ok {
		return keptKeys{k, keeper}
	}
	return k
}

// cachedKeys fails for each name that is not known.
type cachedKeys struct{ cache CacheOnly }

// TXT is that of dkim.Resolver.
func (k cachedKeys) TXT(ctx context.Context, name string) ([]string, error) {
	txts, err := k.cache.DKIM.TXT(ctx, name)
	return txts, k.unknown(err)
}

// unknown clears the mark of a miss, so that the next name is not unknown too.
func (k cachedKeys) unknown(err error) error {
	if !k.cache.Complete() {
		return errUnknown
	}
	return err
}

type keptKeys struct {
	cachedKeys
	keeper dkim.Keeper
}

// Parsed is that of dkim.Keeper.
func (k keptKeys) Parsed(ctx context.Context, name string, parse func(txts []string) any) (any, error) {
	kept, err := k.keeper.Parsed(ctx, name, parse)
	return kept, k.unknown(err)
}
