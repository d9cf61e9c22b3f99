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

// key is what stands at the name of a key, on its way. It is read once for all
// signatures that name it.
type key struct {
	done    chan struct{}
	records []record
	refused finding // why there are none
	err     error   // the failure of DNS
	bug     any     // the panic with which the lookup ended: it belongs to the goroutine of the message
}

// over is what a key waits for whose records are there.
var over = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// known is a key whose records are there.
func known(txts []string) *key {
	k := &key{done: over}
	k.records, k.refused = readRecords(txts)
	return k
}

// fetch starts a lookup, which ends with ctx.
func fetch(ctx context.Context, r Resolver, name string) *key {
	k := &key{done: make(chan struct{})}
	go func() {
		defer close(k.done)
		defer func() {
			if k.bug = recover(); k.bug != nil {
				k.bug = fmt.Sprintf("%v\n%s", k.bug, debug.Stack())
				k.fail(errBug)
			}
		}()
		txts, err := r.TXT(ctx, name)
		if err != nil {
			k.fail(err)
			return
		}
		k.records, k.refused = readRecords(txts)
	}()
	return k
}

func (k *key) fail(err error) {
	k.err, k.refused = err, finding{TempError, "key lookup failed"}
}

// wait returns what the lookup brought.
func (k *key) wait() ([]record, finding) {
	<-k.done
	return k.records, k.refused
}

// readRecords returns the records that are keys. How several are to be treated
// is not defined (RFC 6376, Section 6.1.2): some are tried.
func readRecords(txts []string) ([]record, finding) {
	if len(txts) == 0 {
		return nil, permanent("no key record")
	}
	var keys []record
	for _, txt := range txts {
		if r, ok := parseRecord(txt); ok && len(keys) < maxKeys {
			keys = append(keys, r)
		}
	}
	if len(keys) == 0 {
		return nil, permanent("key record cannot be read")
	}
	return keys, finding{}
}
