package milter

import (
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
// While it waits for the peer to send, or for the handler to finish, it holds no
// buffers (read.go).
//
// Only the goroutine that serves the connection uses it, but for drain and
// cut, which are Shutdown's.
type conn struct {
	net.Conn
	limits  Limits
	session *session
	source  source
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
	c := &conn{Conn: nc, limits: limits, idle: true, begin: time.Now().Add(limits.NegotiateTimeout), source: newSource(nc)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
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
}

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
	if err := c.need(4); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(c.source.unread)
	if n == 0 {
		return errZeroFrame
	}
	if err := c.need(5); err != nil {
		return err
	}
	cmd, size := c.source.unread[4], 4+int(n)
	switch {
	case n > uint32(c.limits.frame(cmd)):
		return frameError{cmd, n}
	case size <= readSize:
		return c.cutFrame(size)
	case cmd == cmdBody:
		return c.passBody(size - len(bodyFrame))
	}
	return c.fill(size)
}

// passBody hands n bytes of body to the session as they arrive, so that no
// buffer grows with them and none is held in between. What is left of the frame
// has no data.
func (c *conn) passBody(n int) error {
	s := &c.source
	if err := c.session.bodyComes(); err != nil {
		return err
	}
	for s.unread = s.unread[len(bodyFrame):]; n > 0; {
		if err := c.need(1); err != nil {
			return cutShort(1, err) // within a frame
		}
		part := s.unread[:min(n, len(s.unread))]
		c.session.bodyPart(part)
		n, s.unread = n-len(part), s.unread[len(part):]
	}
	c.buf = bodyFrame
	return nil
}

// cutFrame makes the next n bytes the frame at hand, where they were read.
func (c *conn) cutFrame(n int) error {
	err := c.need(n)
	if err == nil {
		c.buf, c.source.unread = c.source.unread[:n:n], c.source.unread[n:]
	}
	return err
}

// need reads until n bytes are unread, of which there is room for readSize.
func (c *conn) need(n int) error {
	for s := &c.source; len(s.unread) < n; {
		var to []byte // buffers are taken when there is something to read
		if len(s.unread) == 0 {
			c.giveBack()
		} else {
			s.unread = s.buffers.in[:copy(s.buffers.in, s.unread)]
			to = s.buffers.in[len(s.unread):]
		}
		got, err := c.read(to)
		s.unread = s.held()[:len(s.unread)+got]
		if err != nil {
			return cutShort(len(s.unread), err)
		}
	}
	return nil
}

// fill reads a frame of n bytes, more than readSize, into a buffer that at most
// doubles at each step, or is there from a frame before.
func (c *conn) fill(n int) error {
	s := &c.source
	frame := append(s.buffers.frame[:0], s.unread...)
	s.unread = nil
	for have := len(frame); have < n; have = len(frame) {
		step := min(n-have, max(have, readSize, cap(frame)-have))
		frame = slices.Grow(frame, step)
		got, err := c.read(frame[have : have+step])
		frame = frame[:have+got]
		if err != nil {
			return cutShort(len(frame), err)
		}
	}
	s.buffers.frame, c.buf = frame, frame
	return nil
}

// read reads once, with its own deadline.
func (c *conn) read(p []byte) (int, error) {
	if err := c.arm(); err != nil {
		return 0, err
	}
	return c.source.read(p)
}

// giveBack gives the buffers back, for whichever connection needs some next.
// Nothing may be unread, and the frame at hand is forgotten.
func (c *conn) giveBack() {
	s := &c.source
	if s.buffers == nil || len(s.unread) > 0 {
		return
	}
	if c.out != nil && len(c.out) == 0 {
		s.buffers.out, c.out = c.out, nil
	}
	c.buf, c.rest, c.session.data, s.unread = nil, nil, nil, nil
	s.giveBack()
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
	c.out = append(c.takeOut(), p...)
	return len(p), nil
}

// frame keeps a frame for the next flush.
func (c *conn) frame(cmd byte, data []byte) {
	c.out = appendFrame(c.takeOut(), cmd, data)
}

// takeOut returns the answers so far, which can be appended to.
func (c *conn) takeOut() []byte {
	if b := c.source.buffers; c.out == nil && b != nil {
		c.out, b.out = b.out, nil
	}
	return c.out
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
		c.source.unread = nil
		c.giveBack()
		c.session.closed()
		c.onClose()
	})
	return err
}
