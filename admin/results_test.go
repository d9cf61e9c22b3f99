package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dmarcgate/results"
)

// custodian is a store that remembers what it was asked.
type custodian struct {
	purged  results.Purge
	ids     []string
	adopted int
	err     error
}

func (c *custodian) Purge(_ context.Context, p results.Purge) (int64, error) {
	c.purged = p
	return 3, c.err
}

func (c *custodian) Adopt() error {
	c.adopted++
	return c.err
}

func (c *custodian) Import(_ context.Context, next func() (results.Row, error)) (Imported, error) {
	for {
		r, err := next()
		if err == io.EOF {
			return Imported{Taken: int64(len(c.ids)), Present: 1}, c.err
		}
		if err != nil {
			return Imported{}, err
		}
		c.ids = append(c.ids, r.Facts.QueueID)
		if c.err != nil {
			return Imported{}, c.err
		}
	}
}

func source(n int) func() (results.Row, error) {
	i := 0
	return func() (r results.Row, err error) {
		if i == n {
			return r, io.EOF
		}
		i++
		r.Facts.QueueID = fmt.Sprint("q", i)
		return r, nil
	}
}

func TestControlSocketPassesQueriesToStore(t *testing.T) {
	store := &custodian{}
	c := dial(t, Control{Results: store})
	p := results.Purge{Domain: "bank.example", Client: netip.MustParsePrefix("2001:db8::/32"), Before: time.Date(2026, 11, 22, 9, 30, 0, 5, time.UTC)}
	if n, err := c.Purge(t.Context(), p); err != nil || n != 3 || store.purged != p {
		t.Errorf("Purge() = %d, %v, of %+v; want 3 of %+v", n, err, store.purged, p)
	}
	if n, err := c.Purge(t.Context(), results.Purge{Domain: "x.example"}); err != nil || n != 3 || store.purged.Client.IsValid() || !store.purged.Before.IsZero() {
		t.Errorf("Purge() of a domain = %d, %v, of %+v; want no client and no time", n, err, store.purged)
	}
	if err := c.Adopt(t.Context()); err != nil || store.adopted != 1 {
		t.Errorf("Adopt() = %v, %d times; want once", err, store.adopted)
	}
	if done, err := c.Import(t.Context(), source(2000)); err != nil || done.Taken != 2000 || done.Present != 1 || store.ids[1999] != "q2000" {
		t.Errorf("Import() = %+v, %v; want all rows in their order", done, err)
	}
}

func TestControlSocketReportsStoreError(t *testing.T) {
	store := &custodian{err: errors.New("no space")}
	c := dial(t, Control{Results: store})
	if _, err := c.Purge(t.Context(), results.Purge{Domain: "bank.example"}); err == nil || !strings.Contains(err.Error(), "3 results are gone; then: no space") {
		t.Errorf("Purge() = %v; want what was done, and why no more", err)
	}
	if err := c.Adopt(t.Context()); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("Adopt() = %v; want the cause", err)
	}
	if _, err := c.Import(t.Context(), source(100_000)); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("Import() = %v; want the cause", err)
	}
	broken := errors.New("broken file")
	good := dial(t, Control{Results: &custodian{}})
	if _, err := good.Import(t.Context(), func() (results.Row, error) { return results.Row{}, broken }); !errors.Is(err, broken) {
		t.Errorf("Import() of a broken source = %v; want its error", err)
	}
}

func TestControlSocketWithoutStore(t *testing.T) {
	c := dial(t, Control{})
	_, purge := c.Purge(t.Context(), results.Purge{Domain: "bank.example"})
	_, imported := c.Import(t.Context(), source(1))
	for what, err := range map[string]error{"Purge": purge, "Adopt": c.Adopt(t.Context()), "Import": imported} {
		if err == nil || !strings.Contains(err.Error(), "durability is off") {
			t.Errorf("%s() without a store = %v; want that nothing is recorded", what, err)
		}
	}
}

func TestImportReadsNoRowAfterItReturned(t *testing.T) {
	c := dial(t, Control{}) // answers before a row was sent
	var rows int            // read without a lock, so that the race detector sees a writer that goes on
	_, err := c.Import(t.Context(), func() (results.Row, error) {
		rows++
		return results.Row{}, nil
	})
	if err == nil || rows == 0 {
		t.Errorf("Import() = %v after %d rows; want the refusal", err, rows)
	}
}

func TestImportEndsWithItsContextThoughNoRowComes(t *testing.T) {
	c := dial(t, Control{Results: &custodian{}})
	ctx, cancel := context.WithCancel(t.Context())
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	_, err := c.Import(ctx, func() (results.Row, error) {
		cancel()
		<-never
		return results.Row{}, io.EOF
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Import() = %v; want the end of its context", err)
	}
}
