package wire

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	// ednsSize is the largest datagram we ask for: it fits into the smallest
	// IPv6 MTU without fragments (DNS Flag Day 2020).
	ednsSize = 1232

	// maxDatagram is the largest that we read. Some servers send more than
	// they were queried for.
	maxDatagram = 4096

	// maxWrong is how many datagrams may come that do not answer the query,
	// before it is queried over TCP instead: a forger needs many of them, and
	// cannot do the same there (RFC 5452, Section 9.3).
	maxWrong = 3

	// maxChase is how many questions a chain of CNAMEs may cost that comes in
	// pieces.
	maxChase = 4
)

// Question is what is queried. The name is lower-case dotted bytes without the
// final dot, as Clean returns it, or empty for the root.
type Question struct {
	Type uint16
	Name string
}

// Query is a question, and how it is put.
type Query struct {
	Question
	EDNS bool
	Mix  bool // the case of the letters is random (draft-vixie-dnsext-dns0x20-00)
	AD   bool // we want to know whether the server has validated the answer (RFC 6840, Section 5.7)
}

// query is a question as it is sent, with a random ID.
type query struct {
	wire     []byte
	question []byte // the question section within wire
	id       uint16
	qtype    uint16
	name     string // the name as unpacking spells it, to compare with
}

func newQuery(q Query) (query, error) {
	m := new(dns.Msg)
	m.Id = dns.Id()
	m.RecursionDesired = true
	m.AuthenticatedData = q.AD
	m.Question = []dns.Question{{Name: escape(q.Name), Qtype: q.Type, Qclass: dns.ClassINET}}
	if q.EDNS {
		m.SetEdns0(ednsSize, false)
	}
	wire, err := m.Pack()
	if err != nil {
		return query{}, fmt.Errorf("packing the query: %w", err)
	}
	if q.Mix {
		mixCase(wire[headerLen : headerLen+len(q.Name)+1])
	}
	name, end, err := dns.UnpackDomainName(wire, headerLen)
	if err != nil {
		return query{}, fmt.Errorf("packing the query: %w", err)
	}
	return query{wire: wire, question: wire[headerLen : end+4], id: m.Id, qtype: q.Type, name: name}, nil
}

// mixCase writes about half of the letters of a name in wire form as capitals,
// at random. The lengths of labels are no letters: they are below 64.
func mixCase(name []byte) {
	var bits [maxName/8 + 1]byte
	_, _ = rand.Read(bits[:]) // never fails
	for i, c := range name {
		if 'a' <= c && c <= 'z' && bits[i/8]>>(i%8)&1 == 1 {
			name[i] = c - 'a' + 'A'
		}
	}
}

// Send asks a server once, on a connection of its own, over "udp" or "tcp". A
// new UDP socket for each query has a new source port, which a forger must
// guess as well as the ID (RFC 5452, Section 9.2). It is connected: the kernel
// drops what comes from other addresses. wrong is told why a datagram does not
// answer the query: "id", "question" or "case". KindOf tells what an error is.
func Send(ctx context.Context, network string, server netip.AddrPort, ask Query, wrong func(why string)) (Reply, error) {
	q, err := newQuery(ask)
	if err != nil {
		return Reply{}, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return Reply{}, err
	}
	defer conn.Close()
	// A deadline in the past wakes the read, for a cancelled context too.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		return overTCP(conn, q)
	}
	return overUDP(conn, q, wrong)
}

// overUDP reads until a datagram answers the question. Others may be forged or
// late: they are told to wrong, and after maxWrong of them, or one that differs
// in the case of letters alone, the query is given up. One that answers, but
// cannot be read, becomes the error when nothing better comes in time.
func overUDP(conn net.Conn, q query, wrong func(why string)) (Reply, error) {
	if _, err := conn.Write(q.wire); err != nil {
		return Reply{}, err
	}
	var unread error
	buf := make([]byte, maxDatagram)
	for n := 0; ; {
		size, err := conn.Read(buf)
		if err != nil {
			return Reply{}, cmp.Or(unread, err)
		}
		if size == maxDatagram {
			buf[2] |= bitTC >> 8 // the rest is lost
		}
		rep, err := parse(buf[:size], q)
		if err == nil && rep.Recased {
			err = ErrRecased
		}
		switch {
		case err == nil:
			return rep, nil
		case errors.Is(err, errMalformed):
			unread = err
			continue
		}
		wrong(wrongness(err))
		if n++; n >= maxWrong {
			err = ErrSpoofed
		}
		if err == ErrRecased || err == ErrSpoofed {
			return Reply{}, err
		}
	}
}

// wrongness is the name of a wrong reply in the metrics.
func wrongness(err error) string {
	switch {
	case errors.Is(err, ErrRecased):
		return "case"
	case errors.Is(err, errOtherQuestion):
		return "question"
	}
	return "id"
}

// overTCP exchanges one message with its length in front (RFC 1035, Section 4.2.2).
func overTCP(conn net.Conn, q query) (Reply, error) {
	out := binary.BigEndian.AppendUint16(nil, uint16(len(q.wire)))
	if _, err := conn.Write(append(out, q.wire...)); err != nil {
		return Reply{}, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return Reply{}, err
	}
	in := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, in); err != nil {
		return Reply{}, err
	}
	rep, err := parse(in, q)
	if err != nil {
		return Reply{}, fmt.Errorf("%w over TCP: %w", errMalformed, err)
	}
	if rep.Truncated {
		return Reply{}, fmt.Errorf("%w: truncated over TCP", errMalformed)
	}
	return rep, nil
}

// shortages are what a host says that has no socket left to give: descriptors
// of the process and of the host, memory, and UDP ports (connect(2)). Not
// EADDRNOTAVAIL: it is mostly said of IPv6 where there is none, for good.
var shortages = [...]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EAGAIN}

// KindOf says how a query under ctx failed.
func KindOf(ctx context.Context, err error) Kind {
	switch {
	case errors.Is(err, errMalformed):
		return Malformed
	case slices.ContainsFunc(shortages[:], func(e error) bool { return errors.Is(err, e) }):
		return Local
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	}
	return Network
}

// Chase asks a question by means of ask. A chain of CNAMEs without its end is
// followed by further questions: recursive servers give the whole of it,
// forwarders in small routers may not, and it must not pass for "there is none".
func Chase(q Question, ask func(Question) (Reply, error)) (Reply, error) {
	rep, err := ask(q)
	for range maxChase {
		name, ok := host(rep.rest)
		if err != nil || rep.Failure() != 0 || !ok {
			break
		}
		var next Reply
		next, err = ask(Question{Type: q.Type, Name: name})
		rep = rep.join(next)
	}
	if err == nil && rep.Failure() == 0 && rep.rest != "" {
		err = fmt.Errorf("%w: an alias without its target", errMalformed)
	}
	return rep, err
}
