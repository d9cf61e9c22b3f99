package pg

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// fake is a local store in memory.
type fake struct {
	mu       sync.Mutex
	ids      []results.Identity
	openings []results.Opening
	rows     []blob.Shipment
	restates []results.Restate
	shipped  int64
	next     int64
}

func newFake() *fake {
	f := &fake{next: 1}
	f.ids = []results.Identity{{StoreID: token(), FirstSeq: 1}}
	f.open()
	return f
}

func token() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// open is what a daemon's start does.
func (f *fake) open() {
	f.openings = append(f.openings, results.Opening{Token: token(), FirstSeq: f.next})
}

// copy is what cp does. The copy is then opened.
func (f *fake) copy() *fake {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := &fake{
		ids: slices.Clone(f.ids), openings: slices.Clone(f.openings), rows: slices.Clone(f.rows),
		restates: slices.Clone(f.restates), shipped: f.shipped, next: f.next,
	}
	g.open()
	return g
}

// add writes n rows. Their queue ids begin with a name, so that rows of files
// that parted can be told apart.
func (f *fake) add(name string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.put(blob.Shipment{
			Time: time.Now().UTC().Truncate(time.Millisecond), QueueID: fmt.Sprintf("%s-%d", name, f.next), Client: netip.MustParseAddr("2001:db8::1"),
			Author: "bank.example", Result: 2, Requested: 2, Disposition: 2, Action: 4, Reason: "", Flags: 1, Encoded: []byte{1, 0},
		})
	}
}

func (f *fake) put(r blob.Shipment) {
	r.Sequence = f.next
	f.rows = append(f.rows, r)
	f.next++
}

// restate is what MarkUnanswered does.
func (f *fake) restate(seq int64, s results.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rows {
		if f.rows[i].Sequence == seq {
			f.rows[i].State = s
		}
	}
	f.restates = append(f.restates, results.Restate{Sequence: seq, State: s})
}

func (f *fake) Identities(context.Context) ([]results.Identity, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ids), nil
}

func (f *fake) Renew(_ context.Context, first int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids = append(f.ids, results.Identity{StoreID: token(), FirstSeq: first})
	return nil
}

func (f *fake) Openings(context.Context) ([]results.Opening, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.openings), nil
}

func (f *fake) After(_ context.Context, seq int64, limit, maxBytes int) ([]blob.Shipment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []blob.Shipment
	for _, r := range f.rows {
		if r.Sequence > seq && len(out) < limit && maxBytes > 0 {
			out = append(out, r)
			maxBytes -= len(r.Encoded)
		}
	}
	return out, nil
}

func (f *fake) SetShipped(_ context.Context, seq int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shipped = seq
	return nil
}

func (f *fake) Restates(_ context.Context, seq int64, limit int) ([]results.Restate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []results.Restate
	for _, r := range f.restates {
		if r.Sequence <= seq && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, nil
}

func (f *fake) ClearRestates(_ context.Context, done []results.Restate) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restates = slices.DeleteFunc(f.restates, func(r results.Restate) bool { return slices.Contains(done, r) })
	return nil
}

func (f *fake) Waiting(context.Context) (results.Waiting, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var w results.Waiting
	for _, r := range f.rows {
		if r.Sequence <= f.shipped {
			continue
		}
		if w.Rows == 0 {
			w.Oldest = r.Time
		}
		w.Rows++
	}
	return w, nil
}

func (f *fake) waiting() int64 {
	w, _ := f.Waiting(context.Background())
	return w.Rows
}

// quiet is a log that shows up with a failing test.
func quiet(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
