package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/results"
)

// quick are deadlines that a test can wait for.
var quick = times{body: 50 * time.Millisecond, answer: 50 * time.Millisecond, row: 50 * time.Millisecond}

// raw serves c and connects to it.
func raw(t *testing.T, c Control) net.Conn {
	t.Helper()
	if c.Status == nil {
		c.Status = func(context.Context) Status { return Status{} }
	}
	if c.Reload == nil {
		c.Reload = func() ReloadResult { return ReloadResult{} }
	}
	client := dial(t, c)
	conn, err := net.Dial("unix", client.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil { // the test hangs no longer
		t.Fatal(err)
	}
	return conn
}

// answered returns the status of the answer, and checks that the connection
// is closed after it.
func answered(t *testing.T, conn net.Conn) int {
	t.Helper()
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatalf("answer: %v", err)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection stays open")
	}
	return res.StatusCode
}

func TestControlSocketDoesNotWaitForABody(t *testing.T) {
	for _, request := range []string{
		"POST /results/purge HTTP/1.1\r\nHost: c\r\nContent-Length: 100\r\n\r\n{",
		"POST /results/purge HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
		"POST /reload HTTP/1.1\r\nHost: c\r\nContent-Length: 1\r\n\r\n",
		"GET /status HTTP/1.1\r\nHost: c\r\nContent-Length: 60000\r\n\r\nx",
		"POST /cache/flush-all HTTP/1.1\r\nHost: c\r\nContent-Length: 9\r\n\r\n",
		"GET /nothing HTTP/1.1\r\nHost: c\r\nContent-Length: 9\r\n\r\n",
	} {
		conn := raw(t, Control{times: quick})
		fmt.Fprint(conn, request)
		if code := answered(t, conn); code != http.StatusRequestTimeout {
			t.Errorf("%q: %d; want 408", request, code)
		}
	}
}

func TestControlSocketReadsNoLargeBody(t *testing.T) {
	for _, request := range []string{"POST /results/purge", "POST /reload", "GET /status", "GET /tail", "POST /results/adopt", "DELETE /x"} {
		conn := raw(t, Control{times: quick})
		go func() { // ends with the connection
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: c\r\nContent-Length: %d\r\n\r\n%s", request, maxBody+1, strings.Repeat(" ", maxBody+1))
		}()
		if code := answered(t, conn); code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d; want 413", request, code)
		}
	}
}

// importer counts what an import brings, and how it ends.
type importer struct {
	Results
	rows int
	err  error
}

func (i *importer) Import(_ context.Context, next func() (results.Row, error)) (Imported, error) {
	for {
		if _, err := next(); err != nil {
			i.err = err
			if err == io.EOF {
				err = nil
			}
			return Imported{Taken: int64(i.rows)}, err
		}
		i.rows++
	}
}

func TestImportRefusesARowWithoutAnEnd(t *testing.T) {
	for name, body := range map[string]string{
		"one string":     `{"facts":{"helo":"` + strings.Repeat("x", 2*maxRow) + `"}}`,
		"white space":    strings.Repeat(" ", 2*maxRow),
		"open lists":     strings.Repeat("[", 2*maxRow),
		"behind a row":   `{"facts":{"helo":"h"}}` + "\n" + `{"x":"` + strings.Repeat("x", 2*maxRow),
		"a large number": strings.Repeat("1", 2*maxRow),
	} {
		t.Run(name, func(t *testing.T) {
			i := &importer{}
			c := dial(t, Control{Results: i})
			var done Imported
			err := c.send(t.Context(), "/results/import", strings.NewReader(body), &done)
			if err == nil || i.err == nil || i.rows > 1 {
				t.Errorf("Import = %v after %d rows; want an error", err, i.rows)
			}
		})
	}
}

// Many rows are no large row.
func TestImportTakesMoreThanALargeRowInAll(t *testing.T) {
	const n = 3000
	i := &importer{}
	c := dial(t, Control{Results: i})
	row := `{"facts":{"helo":"` + strings.Repeat("h", 1000) + `"}}` + "\n"
	var done Imported
	if err := c.send(t.Context(), "/results/import", strings.NewReader(strings.Repeat(row, n)), &done); err != nil || i.rows != n || done.Taken != n {
		t.Errorf("Import = %v, %+v with %d rows; want %d", err, done, i.rows, n)
	}
}

func TestImportEndsWhenNothingComes(t *testing.T) {
	i := &importer{}
	conn := raw(t, Control{Results: i, times: quick})
	fmt.Fprint(conn, "POST /results/import HTTP/1.1\r\nHost: c\r\nContent-Length: 1000\r\n\r\n{}\n{")
	answered(t, conn)
	if i.rows != 1 || i.err == nil {
		t.Errorf("%d rows, then %v; want one, and an error", i.rows, i.err)
	}
}

// A client that takes nothing is let go: a tail is as long as the daemon runs.
func TestTailEndsWhenNobodyReads(t *testing.T) {
	tail := &Tail{}
	conn := raw(t, Control{Tail: tail, times: quick})
	fmt.Fprint(conn, "GET /tail HTTP/1.1\r\nHost: c\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	row := decided("bank.example", "reject", 0)
	row.Facts.Helo = strings.Repeat("h", 100_000)
	for deadline := time.Now().Add(20 * time.Second); tail.listeners() > 0; tail.Publish(row) {
		if time.Now().After(deadline) {
			t.Fatal("the tail of a client that reads nothing goes on")
		}
	}
}

// One that waits long for the next decision is not.
func TestTailOutlivesTheDeadlineOfARequest(t *testing.T) {
	tail := &Tail{}
	c := dial(t, Control{Tail: tail, times: quick})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() {
		for tail.listeners() == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(4 * quick.body) // longer than any deadline: that nothing happens can only be waited for
		tail.Publish(decided("bank.example", "reject", 0))
	}()
	got := 0
	_ = c.Tail(ctx, Filter{}, func(results.Row) error {
		got++
		return io.EOF
	})
	if got != 1 {
		t.Errorf("%d decisions; want one, after a wait", got)
	}
}

// A purge takes as long as it takes.
func TestPurgeOutlivesTheDeadlineOfARequest(t *testing.T) {
	p := &slowPurge{}
	c := dial(t, Control{Results: p, times: quick})
	if n, err := c.Purge(t.Context(), results.Purge{}); err != nil || n != 7 || p.err != nil {
		t.Errorf("Purge = %d, %v, context %v; want 7", n, err, p.err)
	}
}

type slowPurge struct {
	Results
	err error
}

func (p *slowPurge) Purge(ctx context.Context, _ results.Purge) (int64, error) {
	time.Sleep(4 * quick.body) // longer than any deadline
	p.err = ctx.Err()
	return 7, nil
}

func TestControlSocketDropsAHeaderThatDoesNotEnd(t *testing.T) {
	srv := NewControl(Control{})
	if srv.ReadHeaderTimeout == 0 || srv.IdleTimeout == 0 || srv.MaxHeaderBytes == 0 {
		t.Errorf("server = %+v; want limits for the header", srv)
	}
	path := filepath.Join(t.TempDir(), "c.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv.ReadHeaderTimeout = 50 * time.Millisecond
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { srv.Close() })
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /status HTTP/1.1\r\nX: ")
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("ReadAll = %v; want the end of the connection", err)
	}
}

// listeners returns how many there are.
func (t *Tail) listeners() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.subs)
}
