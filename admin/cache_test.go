package admin

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"dmarcgate/dnscache"
)

// shelf is a cache of its entries.
type shelf struct {
	list    []dnscache.Entry
	dumped  int
	flushed []string
}

func (s *shelf) Dump(f func(dnscache.Entry) bool) {
	for _, e := range s.list {
		if s.dumped++; !f(e) {
			return
		}
	}
}

func (s *shelf) Show(name string) []dnscache.Entry {
	return slices.DeleteFunc(slices.Clone(s.list), func(e dnscache.Entry) bool { return e.Name != name })
}

func (s *shelf) Flush(name string) int {
	s.flushed = append(s.flushed, name)
	return 2
}

func (s *shelf) FlushAll() int {
	s.flushed = append(s.flushed, "all")
	return len(s.list)
}

func fullShelf() *shelf {
	return &shelf{list: []dnscache.Entry{
		{Name: "a.example", Type: "TXT", Records: []string{"one", "\x1b[2J\n"}, AD: true, Age: 3 * time.Second, TTL: time.Minute, Bytes: 400},
		{Name: "a.example", Type: "A", NXDomain: true, Stale: true, Failure: "timeout", Age: time.Hour},
		{Name: "b.example", Type: "TXT", TTL: time.Second},
	}}
}

func dumped(c *Client, f CacheFilter) (list []dnscache.Entry, err error) {
	return list, c.Dump(context.Background(), f, func(e dnscache.Entry) error {
		list = append(list, e)
		return nil
	})
}

func TestEntriesOfTheCacheGoOverTheSocketAsTheyAre(t *testing.T) {
	s := fullShelf()
	c := dial(t, Control{Cache: s})
	for _, tt := range []struct {
		filter CacheFilter
		want   []dnscache.Entry
	}{
		{CacheFilter{}, s.list},
		{CacheFilter{Type: "TXT"}, []dnscache.Entry{s.list[0], s.list[2]}},
		{CacheFilter{Stale: true}, s.list[1:2]},
		{CacheFilter{Type: "TXT", Stale: true}, nil},
	} {
		if got, err := dumped(c, tt.filter); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("Dump(%+v) = %+v, %v; want %+v", tt.filter, got, err, tt.want)
		}
	}
	if got, err := c.Show(t.Context(), "a.example"); err != nil || !reflect.DeepEqual(got, s.list[:2]) {
		t.Errorf("Show(a.example) = %+v, %v; want %+v", got, err, s.list[:2])
	}
	if got, err := c.Show(t.Context(), "c.example"); err != nil || got == nil || len(got) != 0 {
		t.Errorf("Show(c.example) = %#v, %v; want an empty list", got, err)
	}
}

func TestFlushSaysHowManyEntriesWent(t *testing.T) {
	s := fullShelf()
	c := dial(t, Control{Cache: s})
	if n, err := c.Flush(t.Context(), "a&b.example"); n != 2 || err != nil {
		t.Errorf("Flush = %d, %v; want 2", n, err)
	}
	if n, err := c.FlushAll(t.Context()); n != 3 || err != nil {
		t.Errorf("FlushAll = %d, %v; want 3", n, err)
	}
	if want := []string{"a&b.example", "all"}; !slices.Equal(s.flushed, want) {
		t.Errorf("flushed %q; want %q", s.flushed, want)
	}
}

// endless is a cache that is larger than whoever reads it wants.
type endless struct {
	Cache
	ended chan struct{}
}

func (e endless) Dump(f func(dnscache.Entry) bool) {
	for f(dnscache.Entry{Name: "a.example", Type: "TXT"}) {
	}
	close(e.ended)
}

func TestADumpEndsWhenItsReaderHasEnough(t *testing.T) {
	cache := endless{ended: make(chan struct{})}
	c := dial(t, Control{Cache: cache})
	enough := errors.New("enough")
	n := 0
	err := c.Dump(t.Context(), CacheFilter{}, func(dnscache.Entry) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("Dump = %v; want %v", err, enough)
	}
	<-cache.ended
}

// cut is a cache whose daemon ends in the middle.
type cut struct{ Cache }

func (cut) Dump(f func(dnscache.Entry) bool) {
	for range 1000 { // more than is held back before it is sent
		f(dnscache.Entry{Name: "a.example", Type: "TXT"})
	}
	panic(http.ErrAbortHandler) // as when the daemon ends
}

func TestADumpThatIsCutIsAnError(t *testing.T) {
	c := dial(t, Control{Cache: cut{}})
	if list, err := dumped(c, CacheFilter{}); err == nil {
		t.Errorf("Dump = %d entries, nil; want an error", len(list))
	}
}
