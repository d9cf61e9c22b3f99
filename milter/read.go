package milter

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// readSize is how much is read from a connection at once, and the longest frame
// that is not copied. All commands of an ordinary message before its body fit.
// It is also what a peer can make us hold with the first byte of a frame.
const readSize = 8 << 10

// buffers are what a connection needs while something is read or written.
type buffers struct {
	in    []byte // readSize long
	frame []byte // for a longer frame
	out   []byte // for answers
}

// spare are the buffers that no connection holds: about as many as have worked
// at the same time since the garbage was last collected twice.
var spare = sync.Pool{New: func() any { return &buffers{in: make([]byte, readSize)} }}

// source reads from a socket into buffers that it takes when there is something
// to read: thousands of connections that wait for their peers hold none.
type source struct {
	conn    net.Conn
	raw     syscall.RawConn // nil when conn is no socket
	try     func(fd uintptr) bool
	buffers *buffers // nil while there is nothing to read
	unread  []byte   // of buffers.in

	// The read under way.
	to  []byte // nil is buffers.in
	got int
	err error
}

// newSource reads from nc.
func newSource(nc net.Conn) source {
	s := source{conn: nc}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil { // else Read says what is wrong
			s.raw = raw
		}
	}
	return s
}

// held returns the buffer for what is unread; nil when there are no buffers.
func (s *source) held() []byte {
	if s.buffers == nil {
		return nil
	}
	return s.buffers.in
}

func (s *source) take() {
	if s.buffers == nil {
		s.buffers = spare.Get().(*buffers)
	}
}

func (s *source) giveBack() {
	spare.Put(s.buffers)
	s.buffers = nil
}

// read reads once, into p or, when that is nil, into buffers, which are taken
// then.
func (s *source) read(p []byte) (int, error) {
	if s.raw == nil {
		if p == nil {
			s.take()
			p = s.buffers.in
		}
		return s.conn.Read(p)
	}
	if s.try == nil {
		s.try = s.tryRead
	}
	s.to = p
	err := s.raw.Read(s.try)
	switch {
	case err == nil && s.err == nil && s.got == 0:
		return 0, io.EOF
	case err == nil && s.err == nil:
		return s.got, nil
	case err == nil:
		return 0, &net.OpError{Op: "read", Net: s.conn.LocalAddr().Network(), Source: s.conn.LocalAddr(), Addr: s.conn.RemoteAddr(), Err: os.NewSyscallError("read", s.err)}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		op.Op = "read" // and not "raw-read"
	}
	return 0, err
}

// tryRead reads from a socket that does not block. It returns false when there
// is nothing yet; the runtime calls it again when there is.
func (s *source) tryRead(fd uintptr) bool {
	p := s.to
	if p == nil {
		s.take()
		p = s.buffers.in
	}
	s.got, s.err = syscall.Read(int(fd), p)
	for s.err == syscall.EINTR {
		s.got, s.err = syscall.Read(int(fd), p)
	}
	if s.err != syscall.EAGAIN {
		return true
	}
	if s.to == nil {
		s.giveBack()
	}
	return false
}
