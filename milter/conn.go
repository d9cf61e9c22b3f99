package milter

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

var (
	errDraining  = errors.New("the server shuts down")
	errZeroFrame = errors.New("a frame without a command")
	errHangUp    = errors.New("the connection was given up")
)

// frameError is a frame that is longer than its kind may be.
type frameError struct {
	cmd byte
	n   uint32
}

func (e frameError) Error() string {
	return fmt.Sprintf("a frame %q of %d bytes", e.cmd, e.n)
}

// conn is the connection that go-milter reads from and writes to. Reading, it
// takes frames apart, lets the session see each one first, and passes on what
// the session wants dispatched. Writing, it gathers everything up to the next
// read and sends it at once: edits and reply are one write, and over TCP no
// small segment waits for an acknowledgement.
//
// Only the goroutine that serves the connection uses it, but for drain and
// cut, which are Shutdown's.
type conn struct {
	net.Conn
	limits  Limits
	session *session
	r       *bufio.Reader
	buf     []byte // the frame at hand: length, command, data
	rest    []byte // what go-milter has still to read
	out     []byte // answers that were not written yet
	broken  bool
	begun   bool      // a command came after the offer
	begin   time.Time // until then at the latest
	onClose func()
	once    sync.Once

	ctx    context.Context // done when the connection ends
	cancel context.CancelFunc

	mu       sync.Mutex
	idle     bool // between messages
	draining bool
}

func newConn(nc net.Conn, limits Limits) *conn {
	c := &conn{Conn: nc, limits: limits, idle: true, begin: time.Now().Add(limits.NegotiateTimeout)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.r = bufio.NewReader(timedReader{c})
	return c
}

// timedReader gives each read of the socket its own deadline.
type timedReader struct{ c *conn }

func (t timedReader) Read(p []byte) (int, error) {
	if err := t.c.arm(); err != nil {
		return 0, err
	}
	return t.c.Conn.Read(p)
}

// arm sets the read deadline, unless the connection is to end here. Deadlines
// are the kernel's, so this is real time.
func (c *conn) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining && c.idle {
		return errDraining
	}
	deadline := time.Now().Add(c.limits.IdleTimeout)
	if !c.begun && c.begin.Before(deadline) {
		deadline = c.begin
	}
	return c.Conn.SetReadDeadline(deadline)
}

// setIdle says whether a message is in progress.
func (c *conn) setIdle(idle bool) {
	c.mu.Lock()
	c.idle = idle
	c.mu.Unlock()
	if idle && cap(c.buf) > keepBuffer {
		b := c.buf
		large.Put(&b)
		c.buf, c.rest, c.session.data = nil, nil, nil
	}
}

// large are frame buffers of more than keepBuffer, for whichever connection has
// a large frame next.
var large sync.Pool

// drain ends the connection at the next message boundary, which may be now.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.idle {
		_ = c.Conn.SetReadDeadline(past) // the reader sees an error either way
	}
}

// cut ends the connection now; its own goroutine cleans up. It closes before it
// cancels, so that no answer is written that a handler gave for want of time.
func (c *conn) cut() {
	_ = c.Conn.Close()
	c.cancel()
}

// Read gives go-milter the frames that the session passes on. Every failure
// has been reported when it becomes io.EOF, which go-milter takes without a
// word.
func (c *conn) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if err := c.next(); err != nil {
			c.session.lost(err)
			return 0, io.EOF
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next writes what is to be written, reads a frame, and shows it to the
// session.
func (c *conn) next() error {
	if err := c.flush(); err != nil {
		return err
	}
	if c.broken {
		return errHangUp
	}
	if err := c.readFrame(); err != nil {
		return err
	}
	rest, err := c.session.receive(c.buf)
	c.rest = rest
	c.begun = c.begun || c.session.stage != cmdMacro
	return err
}

// readFrame reads one frame into buf. Its length is the peer's word: it is
// checked before anything is allocated, and memory grows with what arrives.
func (c *conn) readFrame() error {
	head, err := c.r.Peek(4)
	if err != nil {
		return cutShort(len(head), err)
	}
	n := binary.BigEndian.Uint32(head)
	if n == 0 {
		return errZeroFrame
	}
	if head, err = c.r.Peek(5); err != nil {
		return cutShort(len(head), err)
	}
	if cmd := head[4]; n > uint32(c.limits.frame(cmd)) {
		return frameError{cmd, n}
	}
	return c.fill(4 + int(n))
}

// fill reads n bytes into buf, at most doubling what it holds at each step.
func (c *conn) fill(n int) error {
	if n > keepBuffer && cap(c.buf) <= keepBuffer {
		if b, ok := large.Get().(*[]byte); ok {
			c.buf = *b
		}
	}
	c.buf = c.buf[:0]
	for have := 0; have < n; have = len(c.buf) {
		step := min(n-have, max(have, firstRead))
		c.buf = slices.Grow(c.buf, step)[:have+step]
		if got, err := io.ReadFull(c.r, c.buf[have:]); err != nil {
			return cutShort(have+got, err)
		}
	}
	return nil
}

// cutShort tells an end between two frames from one within a frame.
func cutShort(have int, err error) error {
	if have > 0 && (err == io.EOF || err == io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Write keeps p for the next flush. It cannot fail.
func (c *conn) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}

// flush writes everything in one go and tells the session how it went.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	c.session.beforeWrite(c.out)
	err := c.Conn.SetWriteDeadline(time.Now().Add(c.limits.WriteTimeout))
	if err == nil {
		_, err = c.Conn.Write(c.out)
	}
	c.out = c.out[:0]
	if cap(c.out) > keepBuffer {
		c.out = nil
	}
	c.session.written(err)
	return err
}

// Close ends the connection and everything that belongs to it.
func (c *conn) Close() error {
	var err error
	c.once.Do(func() {
		c.cancel()
		err = c.Conn.Close()
		c.session.closed()
		c.onClose()
	})
	return err
}
