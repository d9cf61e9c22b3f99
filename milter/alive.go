package milter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
)

// Alive tells whether the server can take a connection: it hands each accept
// loop a connection in memory, and negotiates on it. That proves that the loop
// turns and that a session is served.
//
// It does not connect to the socket, and so it needs no descriptor, no right to
// write to a socket that may be the MTA's, and no place below the connection
// limit: a server that is busy, or short of descriptors, is alive. Nor is it
// seen in metrics, in logs or by Shutdown. What it does not prove is that an MTA
// can reach the socket (somebody may have removed the file), nor that messages
// are answered in time. Of a listener without a SetDeadline method it is only
// known that its loop has not ended.
//
// It fails when an accept loop has ended with an error, when there is none
// (before Serve, or when the listener was closed), from Shutdown on (the error
// wraps net.ErrClosed), and when there is no answer before ctx is done.
func (s *Server) Alive(ctx context.Context) error {
	loops, err := s.running()
	if err != nil {
		return fmt.Errorf("milter: %s: %w", s.Name, err)
	}
	for _, a := range loops {
		if err := a.converse(ctx); err != nil {
			return fmt.Errorf("milter: %s does not answer on %s: %w", s.Name, a.ln.Addr(), err)
		}
	}
	return nil
}

// running returns the accept loops.
func (s *Server) running() ([]*acceptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failed != nil:
		return nil, s.failed
	case s.closed:
		return nil, fmt.Errorf("the server shuts down: %w", net.ErrClosed)
	case len(s.loops) == 0:
		return nil, errors.New("nothing is listened on")
	}
	return slices.Clone(s.loops), nil
}

// converse has the loop serve a connection in memory, as far as the
// negotiation.
func (a *acceptor) converse(ctx context.Context) error {
	waker, ok := a.ln.(deadliner)
	if !ok {
		return nil
	}
	ours, theirs := net.Pipe()
	hangUp := func() { _ = ours.Close() } // a pipe closes without an error
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)()
	select {
	case a.probes <- theirs:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := waker.SetDeadline(past); err != nil {
		return err
	}
	if err := greet(ours); err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return nil
}

// greet offers, as an MTA does, and reads the answer.
func greet(c net.Conn) error {
	var offer []byte
	for _, v := range []uint32{ownVersion, uint32(wantedActions), uint32(wantedProtocol)} {
		offer = binary.BigEndian.AppendUint32(offer, v)
	}
	if _, err := c.Write(appendFrame(nil, cmdNegotiate, offer)); err != nil {
		return err
	}
	var head [5]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	if head[4] != cmdNegotiate {
		return fmt.Errorf("answer %q to the offer", head[4])
	}
	_, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[:]))-1)
	return err
}

// answerProbes serves the connections that Alive has made.
func (s *Server) answerProbes(a *acceptor) {
	for {
		select {
		case nc := <-a.probes:
			s.probe(nc)
		default:
			return
		}
	}
}

// probe serves a connection of Alive, which ends with Alive at the latest. It is
// the session of a server that counts nothing and has no handler, for which it
// never comes to a message.
func (s *Server) probe(nc net.Conn) {
	c := newConn(nc, s.Limits)
	c.session = &session{srv: &Server{Name: s.Name}, conn: c, log: slog.New(slog.DiscardHandler)}
	c.onClose = s.wg.Done
	s.wg.Add(1) // Serve holds one, so this is not after Wait
	go c.session.serve()
}
