package deliver

import (
	"net"
	"time"
)

// wire is the connection of a session. Its deadline and the bytes that may be
// read belong to the phase that began last. go-smtp sets deadlines of its own,
// which do not cover the text of a mail and have no limit of bytes; those are
// ignored.
type wire struct {
	net.Conn
	left int // bytes that may be read in this phase
}

// begin starts a phase that may take d.
func (w *wire) begin(d time.Duration) {
	w.left = maxReply
	w.Conn.SetDeadline(time.Now().Add(d)) // on a closed connection, the next read tells
}

func (w *wire) Read(p []byte) (int, error) {
	if w.left <= 0 {
		return 0, errReply
	}
	n, err := w.Conn.Read(p[:min(len(p), w.left)])
	w.left -= n
	return n, err
}

// SetDeadline does nothing; see begin.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing; see begin.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing; see begin.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// greeting is what greeted gives to go-smtp.
const greeting = "220 greeted before\r\n"

// greeted is a connection on which the greeting of the server has been read.
// go-smtp reads a greeting first, and its own way to start TLS says EHLO by the
// name localhost, so it is given another greeting.
type greeted struct {
	net.Conn
	given int // bytes of greeting
}

func (g *greeted) Read(p []byte) (int, error) {
	if g.given == len(greeting) {
		return g.Conn.Read(p)
	}
	n := copy(p, greeting[g.given:])
	g.given += n
	return n, nil
}
