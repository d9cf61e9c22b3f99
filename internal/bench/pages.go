package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// crowd is a number of readers of the status pages, each of which asks for the next
// page as soon as the last one has come.
type crowd struct {
	key, title string
	readers    int
}

// crowds are what mail is measured beside: an operator with some windows, and an
// attack.
var crowds = []crowd{
	{"pages_few", "4 readers of pages", 4},
	{"pages_crowd", "1,000 readers of pages", 1000},
}

const quietKey = "pages_quiet"

// pagePaths are all pages, and filters that look at many rows.
var pagePaths = []string{"/", "/decisions", "/senders", "/rules", "/what-if", "/reports", "/dns", "/decisions/1", "/decisions?author=nobody.example", "/decisions?result=notable"}

// pageRows measure mail on one daemon, first without a request for a page.
func pageRows(ctx context.Context, s *stage) ([]*row, error) {
	dir, err := s.makeDir("pages")
	if err != nil {
		return nil, err
	}
	if err := fillReplay(ctx, filepath.Join(dir, storeFile), s.opts.storeRows); err != nil {
		return nil, err
	}
	d, err := startDaemon(ctx, s.opts.daemon, dir, daemonConfig{durability: "ack", dns: s.near.Addr(), pages: true})
	if err != nil {
		return nil, err
	}
	s.opened = append(s.opened, d.stop)
	t := &target{processes: []*process{d.process}, daemon: d, dns: s.near}
	if err := s.warm(ctx, t, s.mixLoad()); err != nil {
		return nil, err
	}
	if err := awaitSummed(ctx, pagesSocket(dir)); err != nil {
		return nil, err
	}
	quiet := s.row(quietKey, "no request", t, "", s.mixLoad())
	rows := []*row{quiet}
	for _, c := range crowds {
		r := &row{key: c.key, title: c.title, off: quiet}
		r.measure = func(ctx context.Context) (sample, error) {
			stop, err := readPages(ctx, pagesSocket(dir), c.readers)
			if err != nil {
				return sample{}, err
			}
			out, err := s.measure(ctx, t, s.mixLoad())
			return out, errors.Join(err, stop())
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// sumTime is how long a daemon may take to sum the rows of the store.
const sumTime = 10 * time.Minute

// awaitSummed waits until the page Status has the sums of all rows, since their making
// costs what the mail would be measured beside.
func awaitSummed(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, sumTime)
	defer cancel()
	client := pageClient(socket)
	defer client.CloseIdleConnections()
	for {
		code, text, err := getPage(ctx, client, "/")
		if err != nil {
			return fmt.Errorf("waiting for the sums of days: %w", err)
		}
		if code == http.StatusOK && strings.Contains(text, "<svg") && !strings.Contains(text, "still being counted") {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// pageClient asks for pages at a Unix socket.
func pageClient(socket string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 1}}
}

// getPage asks for a page. 503 is an answer, too.
func getPage(ctx context.Context, client *http.Client, path string) (code int, text string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// firstPage is how long a reader may wait for the first page, on a busy machine.
const firstPage = time.Minute

// readPages starts readers, and returns when the first page is read. stop ends them;
// its error is what was answered other than a page and 503.
func readPages(ctx context.Context, socket string, readers int) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	c := reading{socket: socket, first: make(chan struct{})}
	c.once = sync.OnceFunc(func() { close(c.first) })
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() { c.read(ctx, i) })
	}
	stop = func() error {
		cancel()
		wg.Wait()
		return errors.Join(c.failures...)
	}
	select {
	case <-c.first:
		return stop, nil
	case <-time.After(firstPage):
		return nil, errors.Join(errors.New("no page was read"), stop())
	}
}

// reading is what readers of pages share.
type reading struct {
	socket string
	first  chan struct{}
	once   func() // closes first

	mu       sync.Mutex
	failures []error
}

// maxFailures bounds the failures that are kept.
const maxFailures = 3

// read asks for one page after the other, until ctx is done.
func (c *reading) read(ctx context.Context, from int) {
	client := pageClient(c.socket)
	defer client.CloseIdleConnections()
	for n := from; ctx.Err() == nil; n++ {
		path := pagePaths[n%len(pagePaths)]
		code, text, err := getPage(ctx, client, path)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && code == http.StatusOK:
			c.once()
		case err != nil || code != http.StatusServiceUnavailable:
			c.mu.Lock()
			if len(c.failures) < maxFailures {
				c.failures = append(c.failures, fmt.Errorf("%s: %d, %v: %.200s", path, code, err, text))
			}
			c.mu.Unlock()
		}
	}
}
