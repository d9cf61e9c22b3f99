// Package milter speaks the milter protocol with an MTA. It collects the
// events of a message into an envelope, a header and a body stream, hands them
// to a Handler, and writes the handler's edits and reply back.
//
// It is not for mail: it knows no field but by its bytes and decides nothing.
// Replies before end of message are always "continue", because a milter that
// accepts earlier is not asked again, and Postfix versions exist in which a
// crafted client carries such an acceptance over to its next message. The one
// exception is a refusal at end of header, for want of memory.
//
// The protocol engine is emersion/go-milter, one milter.Server for each
// connection, behind a net.Conn that understands frames (conn.go). defects.go
// says why.
//
// # Limits
//
// Everything that a peer chooses has a limit in Limits: connections, frame
// sizes, header fields and bytes, recipients, silence. A message whose header
// is longer than the limit is marked, its handler is shown each field beyond the
// limit once (Overflow), and decides. HeaderMemory bounds the headers of all
// messages together.
//
// A peer that makes no offer within 30 seconds, or sends no command within 5
// minutes after it, is no MTA: its connection is closed.
//
// # Failures
//
//   - A handler that panics: the message is answered 451 4.3.0, the connection
//     goes on with the next message.
//   - A frame that is malformed, too long, or out of order: the connection is
//     closed, and the MTA does what its default action says.
//   - An MTA that goes away or is silent for too long: the context of the
//     message is cancelled and the connection closed. While a handler works on
//     its answer nothing is read; there the next progress that cannot be written
//     tells, and the handler's answer is waited for and given up.
//   - A handler that takes long to answer: the MTA is told every few seconds to
//     go on waiting, without a limit of ours.
//   - The memory for headers is used up: the session reads no further until it
//     gets some. After 30 seconds the message is answered 451 4.3.1 at its end
//     of header, and what it took is free again.
//   - The connection limit is reached: accepting stops, so that the listen
//     backlog holds new connections until one ends.
//   - Accept fails for want of descriptors or memory: it is tried again, with
//     a growing pause of at most a second.
//   - Shutdown: sessions that exist are served until its context is done, then
//     closed at the next message boundary, and counted.
//
// Server.Alive fails when an accept loop has ended or is stuck, and from the
// beginning of a shutdown. A server that is busy is alive.
//
// The engine reports what it does not expect with log.Printf. The connection
// leaves it little to report (it sees checked frames, io.EOF and a Write that
// cannot fail), and a daemon that has called slog.SetDefault gets the rest,
// formatted like every other line.
package milter
