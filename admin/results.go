package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"dmarcgate/results"
)

// Results is what the control socket can do with the store, which belongs to
// the daemon alone.
type Results interface {
	// Purge deletes rows and returns how many there were.
	Purge(context.Context, results.Purge) (int64, error)
	// Import adds the rows that next returns until io.EOF.
	Import(ctx context.Context, next func() (results.Row, error)) (Imported, error)
	// Adopt lets a store that PostgreSQL refuses go on under a new id.
	Adopt() error
}

// Imported is what became of rows of another program.
type Imported struct {
	Taken   int64 `json:"taken"`
	Present int64 `json:"present"` // the store had them already
	Expired int64 `json:"expired"` // older than what the store keeps
}

// ResultsStatus is how the store does.
type ResultsStatus struct {
	Path       string           `json:"path"`
	Durability string           `json:"durability"`
	ID         string           `json:"id"`
	Rows       int64            `json:"rows"`
	Bytes      int64            `json:"bytes"`
	MaxBytes   int64            `json:"max_bytes,omitempty"`      // size at which the oldest rows are deleted; 0 without a limit
	KeepDays   int              `json:"retention_days,omitempty"` // age at which rows are deleted; 0 if rows are kept for ever
	FreeBytes  int64            `json:"free_bytes"`               // of the file system
	Oldest     time.Time        `json:"oldest,omitzero"`
	Newest     time.Time        `json:"newest,omitzero"`
	Dropped    map[string]int64 `json:"dropped,omitempty"`   // rows lost since the start, by cause
	Deleted    map[string]int64 `json:"deleted,omitempty"`   // the same of rows that went by age, size or purge
	Guard      bool             `json:"guard,omitempty"`     // too little is free: rows are dropped
	Uncleaned  int64            `json:"uncleaned,omitempty"` // rows of earlier programs that may still hold addresses of DMARC records
	SetAside   string           `json:"set_aside,omitempty"` // a damaged file, by its new name
	Failure    string           `json:"failure,omitempty"`
	Postgres   *PostgresStatus  `json:"postgres,omitempty"`
}

// PostgresStatus is how the rows get to PostgreSQL.
type PostgresStatus struct {
	State     string    `json:"state"` // connecting, shipping, refused or stopped; without a daemon, that none says it
	Since     time.Time `json:"since,omitzero"`
	Failure   string    `json:"failure,omitempty"`   // of the last attempt
	Waiting   int64     `json:"waiting"`             // rows that are not there yet
	Oldest    time.Time `json:"oldest,omitzero"`     // of these
	Shipped   int64     `json:"shipped"`             // by this process
	Last      time.Time `json:"last,omitzero"`       // batch
	Aside     int64     `json:"aside,omitempty"`     // rows that it did not take
	Uncleaned int64     `json:"uncleaned,omitempty"` // rows of earlier programs there, of all hosts, that may still hold addresses of DMARC records
	Skew      *float64  `json:"skew_seconds"`        // this host's clock minus the server's; null before it is measured
}

// errNoStore is the answer of a daemon that keeps no results.
var errNoStore = errors.New("this daemon keeps no results: durability is off")

// routeResults adds what the control socket can do with the store, but for
// imports.
func (c Control) routeResults(mux *http.ServeMux) {
	mux.HandleFunc("POST /results/purge", c.purge)
	mux.HandleFunc("POST /results/adopt", func(w http.ResponseWriter, _ *http.Request) {
		err := errNoStore
		if c.Results != nil {
			err = c.Results.Adopt()
		}
		answer(w, true, err)
	})
}

// answer writes a value, or the error instead.
func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, v)
}

func (c Control) purge(w http.ResponseWriter, r *http.Request) {
	var p results.Purge
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		http.Error(w, fmt.Sprintf("what to purge cannot be read: %v", err), http.StatusBadRequest)
		return
	}
	if c.Results == nil {
		answer(w, nil, errNoStore)
		return
	}
	n, err := c.Results.Purge(r.Context(), p)
	if err != nil && n > 0 {
		err = fmt.Errorf("%d results are gone; then: %w", n, err)
	}
	answer(w, n, err)
}

// importRows reads rows as JSON, one a line.
func (c Control) importRows(w http.ResponseWriter, r *http.Request) {
	conn := http.NewResponseController(w)
	w = &timedWriter{ResponseWriter: w, conn: conn, each: c.times.answer}
	if c.Results == nil {
		c.times.giveUp(w, conn)
		answer(w, nil, errNoStore)
		return
	}
	body := &rowReader{body: r.Body, conn: conn, each: c.times.row}
	dec := json.NewDecoder(body)
	done, err := c.Results.Import(r.Context(), func() (row results.Row, err error) {
		err = dec.Decode(&row)
		body.next()
		return row, err
	})
	if err != nil {
		c.times.giveUp(w, conn)
	}
	answer(w, done, err)
}

// Purge has the daemon delete rows, and returns how many there were.
func (c *Client) Purge(ctx context.Context, p results.Purge) (removed int64, err error) {
	text, err := json.Marshal(p)
	if err != nil {
		return 0, err
	}
	return removed, c.send(ctx, "/results/purge", bytes.NewReader(text), &removed)
}

// Adopt has the daemon go on with a store that PostgreSQL refuses.
func (c *Client) Adopt(ctx context.Context) error {
	var done bool
	return c.call(ctx, http.MethodPost, "/results/adopt", &done)
}

// Import hands rows to the daemon, until next returns io.EOF. After Import
// returned, next is called no more, unless ctx ended.
func (c *Client) Import(ctx context.Context, next func() (results.Row, error)) (done Imported, err error) {
	r, w := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		w.CloseWithError(encodeRows(w, next))
	}()
	// The client of net/http waits for a read of the body even after ctx ended.
	stop := context.AfterFunc(ctx, func() { r.CloseWithError(ctx.Err()) })
	defer stop()
	err = c.send(ctx, "/results/import", r, &done)
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) { // of the pipe that its end has closed
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	r.Close() // ends the writer when the daemon answers early
	select {
	case <-written:
	case <-ctx.Done(): // next may wait for standard input, which has no end of its own
	}
	return done, err
}

// encodeRows writes rows as JSON, one a line.
func encodeRows(w io.Writer, next func() (results.Row, error)) error {
	for enc := json.NewEncoder(w); ; {
		row, err := next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = enc.Encode(row)
		}
		if err != nil {
			return err
		}
	}
}
