package dkim

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// Resolver fetches key records. No record (NXDOMAIN or no data) is an empty
// list without an error; every error is temporary.
type Resolver interface {
	TXT(ctx context.Context, name string) ([]string, error)
}

var errBug = errors.New("panic in a key lookup")

// key is the key records of a name, on their way.
type key struct {
	done chan struct{}
	txts []string
	err  error
	bug  any // the panic with which the lookup ended: it belongs to the goroutine of the message
}

// fetch starts a lookup, which ends with ctx.
func fetch(ctx context.Context, r Resolver, name string) *key {
	k := &key{done: make(chan struct{})}
	go func() {
		defer close(k.done)
		defer func() {
			if k.bug = recover(); k.bug != nil {
				k.bug = fmt.Sprintf("%v\n%s", k.bug, debug.Stack())
				k.err = errBug
			}
		}()
		k.txts, k.err = r.TXT(ctx, name)
	}()
	return k
}

// records waits for the lookup and returns the records that are keys. How
// several are to be treated is not defined (RFC 6376, Section 6.1.2): some
// are tried.
func (k *key) records() ([]record, finding) {
	<-k.done
	switch {
	case k.err != nil:
		return nil, finding{TempError, "key lookup failed"}
	case len(k.txts) == 0:
		return nil, permanent("no key record")
	}
	var keys []record
	for _, txt := range k.txts {
		if r, ok := parseRecord(txt); ok && len(keys) < maxKeys {
			keys = append(keys, r)
		}
	}
	if len(keys) == 0 {
		return nil, permanent("key record cannot be read")
	}
	return keys, finding{}
}
