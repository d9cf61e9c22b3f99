package dkim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
)

// Resolver fetches key records. No record (NXDOMAIN or no data) is an empty
// list without an error; every error is temporary. One that has a method
// Stale() bool, which returns true, comes with an answer: the last that was
// known, because no newer one could be had.
//
// A Resolver that is a Keeper, too, spares the reading of keys.
type Resolver interface {
	TXT(ctx context.Context, name string) ([]string, error)
}

// Keeper keeps what was made of an answer as long as the answer itself.
type Keeper interface {
	// Parsed returns what parse makes of the TXT records of name, or made of
	// the same ones before. The value is shared, also by messages at the same
	// time. Beside a stale answer's error it is that of the stale answer; with
	// every other error it is nil.
	Parsed(ctx context.Context, name string, parse func(txts []string) any) (any, error)
}

var errBug = errors.New("panic in a key lookup")

// key is what stands at the name of a key, on its way. It is read once for all
// signatures that name it.
type key struct {
	name      string
	dns       Resolver // who is queried
	unrelated bool     // no signature with it can align
	near      int      // as of its signature

	done  chan struct{}
	found keySet
	err   error // the failure of DNS; when it isStale, found is a stale answer
	bug   any   // the panic with which the lookup ended: it belongs to the goroutine of the message
}

// keySet is the records at the name of a key. It may be in use by other
// messages: nobody changes it.
type keySet struct {
	records []record
	refused finding // why there are none
}

// over is what a key waits for whose records are there.
var over = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// fetchAll fetches keys, those first that could be aligned with an author
// domain, maxFetched at once. The lookups end with ctx.
func (r *Run) fetchAll(ctx context.Context, keys []*key) {
	slices.SortStableFunc(keys, func(a, b *key) int {
		return cmp.Or(compareBool(a.unrelated, b.unrelated), cmp.Compare(b.near, a.near))
	})
	var next atomic.Int64
	for range min(len(keys), maxFetched) {
		go func() {
			for i := next.Add(1); i <= int64(len(keys)); i = next.Add(1) {
				keys[i-1].fetch(ctx)
			}
		}()
	}
}

// fetch looks the key up.
func (k *key) fetch(ctx context.Context) {
	defer close(k.done)
	defer func() {
		if k.bug = recover(); k.bug != nil {
			k.bug = fmt.Sprintf("%v\n%s", k.bug, debug.Stack())
			k.err = errBug
		}
	}()
	k.found, k.err = lookUp(ctx, k.dns, k.name)
}

// wait waits for the key, and raises the panic with which its lookup ended.
func (k *key) wait() {
	if <-k.done; k.bug != nil {
		panic(k.bug)
	}
}

// lookUp returns the records at the name of a key. They mean something beside
// the error of a stale answer, and beside no other.
func lookUp(ctx context.Context, r Resolver, name string) (keySet, error) {
	if keeper, ok := r.(Keeper); ok {
		kept, err := keeper.Parsed(ctx, name, readToKeep)
		if found, ok := kept.(*keySet); ok {
			return *found, err
		}
		if err != nil && !isStale(err) {
			return keySet{}, err
		}
	}
	txts, err := r.TXT(ctx, name)
	return readRecords(txts), err
}

// staleness is an error that may have a stale answer beside it.
type staleness interface {
	error
	Stale() bool
}

// isStale reports whether there is a stale answer beside an error.
func isStale(err error) bool {
	old, ok := errors.AsType[staleness](err)
	return ok && old.Stale()
}

func readToKeep(txts []string) any {
	found := readRecords(txts)
	return &found
}

// readRecords returns the records that are keys. How several are to be treated
// is not defined (RFC 6376, Section 6.1.2): some are tried.
func readRecords(txts []string) keySet {
	if len(txts) == 0 {
		return keySet{refused: permanent("no key record")}
	}
	var keys []record
	for _, txt := range txts {
		if len(keys) == maxKeys {
			break
		}
		if r, ok := parseRecord(txt); ok {
			keys = append(keys, r)
		}
	}
	if len(keys) == 0 {
		return keySet{refused: permanent("key record cannot be read")}
	}
	return keySet{records: keys}
}
