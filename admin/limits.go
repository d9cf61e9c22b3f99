package admin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Limits of the control socket: ours. Whoever may use it may stop the daemon
// anyway; they keep a client that hangs from holding memory or descriptors.
const (
	maxBody    = 64 << 10 // of a request
	maxRow     = 1 << 20  // of one row of an import; a stored row is far smaller
	maxImport  = 64 << 30 // of all of them: more than the largest store of a site
	bodyTime   = 10 * time.Second
	answerTime = 30 * time.Second // for a client to take what is written
	rowTime    = time.Minute      // for a client to send the next part of an import
)

// times are how long a client may take. The zero value is those above.
type times struct{ body, answer, row time.Duration }

func (t times) orDefaults() times {
	if t == (times{}) {
		return times{bodyTime, answerTime, rowTime}
	}
	return t
}

// errTooLarge means that a client sends more than it may.
var errTooLarge = errors.New("the request is too large")

// bounded gives a handler the whole body of a request, which is read before, so
// that no client can keep the handler waiting, and a deadline for each write.
func (t times) bounded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn := http.NewResponseController(w)
		w = &timedWriter{ResponseWriter: w, conn: conn, each: t.answer}
		_ = conn.SetReadDeadline(time.Now().Add(t.body)) // cannot fail on a connection
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			w.Header().Set("Connection", "close")
			http.Error(w, errTooLarge.Error(), http.StatusRequestEntityTooLarge)
			return
		case err != nil:
			// The deadline stays: the rest of the body is not waited for.
			w.Header().Set("Connection", "close")
			http.Error(w, "the request did not come in time", http.StatusRequestTimeout)
			return
		}
		_ = conn.SetReadDeadline(time.Time{}) // else its end would cancel the request's context
		r.Body = io.NopCloser(bytes.NewReader(body))
		h(w, r)
	}
}

// giveUp answers now, and closes the connection when the rest of the body, which
// net/http reads a part of, does not come in time.
func (t times) giveUp(w http.ResponseWriter, conn *http.ResponseController) {
	w.Header().Set("Connection", "close")
	_ = conn.SetReadDeadline(time.Now().Add(t.body))
}

// timedWriter sets a deadline for each write: an answer may take as long as it
// needs, but not a client that takes none of it.
type timedWriter struct {
	http.ResponseWriter
	conn *http.ResponseController
	each time.Duration
}

// Write implements io.Writer.
func (w *timedWriter) Write(p []byte) (int, error) {
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.each))
	return w.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController flushes by.
func (w *timedWriter) FlushError() error {
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.each))
	return w.conn.Flush()
}

// rowReader reads the body of an import: each part in time, no row larger than
// maxRow, and no more than maxImport altogether.
type rowReader struct {
	body  io.Reader
	conn  *http.ResponseController
	each  time.Duration
	row   int64 // bytes that were read since the last row
	total int64
}

// Read implements io.Reader.
func (r *rowReader) Read(p []byte) (int, error) {
	if r.row >= maxRow || r.total >= maxImport {
		return 0, fmt.Errorf("%w: a row has at most %d bytes, an import %d", errTooLarge, maxRow, int64(maxImport))
	}
	p = p[:min(int64(len(p)), maxRow-r.row)]
	_ = r.conn.SetReadDeadline(time.Now().Add(r.each))
	n, err := r.body.Read(p)
	_ = r.conn.SetReadDeadline(time.Time{}) // the rows are being stored, which may take longer
	r.row, r.total = r.row+int64(n), r.total+int64(n)
	return n, err
}

// next tells that a row is complete.
func (r *rowReader) next() { r.row = 0 }
