package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"dmarcgate/dnscache"
)

// Cache is the DNS cache as the control socket shows it; *dnscache.Resolver is
// one.
type Cache interface {
	Dump(func(dnscache.Entry) bool)
	Show(name string) []dnscache.Entry
	Flush(name string) int
	FlushAll() int
}

// CacheFilter chooses entries; the zero value chooses all.
type CacheFilter struct {
	Type  string // "TXT"
	Stale bool   // only what is past its TTL
}

func (f CacheFilter) matches(e dnscache.Entry) bool {
	return is(f.Type, e.Type) && (e.Stale || !f.Stale)
}

func (f CacheFilter) query() url.Values {
	q := url.Values{}
	if f.Type != "" {
		q.Set("type", f.Type)
	}
	if f.Stale {
		q.Set("stale", "true")
	}
	return q
}

func parseCacheFilter(q url.Values) CacheFilter {
	return CacheFilter{Type: q.Get("type"), Stale: q.Get("stale") == "true"}
}

// routeCache adds what the control socket can do with the cache.
func (c Control) routeCache(mux *http.ServeMux) {
	mux.HandleFunc("GET /cache", c.dump)
	mux.HandleFunc("GET /cache/entries", func(w http.ResponseWriter, r *http.Request) {
		reply(w, append([]dnscache.Entry{}, c.Cache.Show(r.URL.Query().Get("name"))...))
	})
	mux.HandleFunc("POST /cache/flush", func(w http.ResponseWriter, r *http.Request) { reply(w, c.Cache.Flush(r.URL.Query().Get("name"))) })
	mux.HandleFunc("POST /cache/flush-all", func(w http.ResponseWriter, _ *http.Request) { reply(w, c.Cache.FlushAll()) })
}

// dump writes the entries as JSON, one a line, in no order. A cache may have
// millions: they are never in memory together.
func (c Control) dump(w http.ResponseWriter, r *http.Request) {
	f := parseCacheFilter(r.URL.Query())
	enc := json.NewEncoder(w)
	c.Cache.Dump(func(e dnscache.Entry) bool {
		return !f.matches(e) || enc.Encode(e) == nil
	})
}

// Dump calls f with each entry of the cache that the filter chooses, in no
// order, until f returns an error. It fails when the daemon ends before the
// last one.
func (c *Client) Dump(ctx context.Context, filter CacheFilter, f func(dnscache.Entry) error) error {
	body, err := c.open(ctx, http.MethodGet, "/cache?"+filter.query().Encode())
	if err != nil {
		return err
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var e dnscache.Entry
		if err := dec.Decode(&e); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading from %s: %w", c.path, err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
}

// Show returns what the cache holds for a name, one entry for each type.
func (c *Client) Show(ctx context.Context, name string) (list []dnscache.Entry, err error) {
	return list, c.call(ctx, http.MethodGet, "/cache/entries?"+url.Values{"name": {name}}.Encode(), &list)
}

// Flush removes what the cache holds for a name and all names below it, and
// returns how many entries that was.
func (c *Client) Flush(ctx context.Context, name string) (removed int, err error) {
	return removed, c.call(ctx, http.MethodPost, "/cache/flush?"+url.Values{"name": {name}}.Encode(), &removed)
}

// FlushAll removes everything from the cache, and returns how many entries
// that was.
func (c *Client) FlushAll(ctx context.Context) (removed int, err error) {
	return removed, c.call(ctx, http.MethodPost, "/cache/flush-all", &removed)
}
