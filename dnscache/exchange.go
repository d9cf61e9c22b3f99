package dnscache

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

const (
	// ednsSize is the largest datagram we ask for: it fits into the smallest
	// IPv6 MTU without fragments (DNS Flag Day 2020).
	ednsSize = 1232

	// maxDatagram is the largest that we read. Some servers send more than
	// they were asked for.
	maxDatagram = 4096
)

// query is a question as it is sent, with a random ID.
type query struct {
	wire     []byte
	question []byte // the question section within wire
	id       uint16
	qtype    uint16
	name     string // the name as unpacking spells it, to compare with
}

func newQuery(k key, edns bool) (query, error) {
	m := new(dns.Msg)
	m.Id = dns.Id()
	m.RecursionDesired = true
	m.Question = []dns.Question{{Name: escape(k.name), Qtype: k.qtype, Qclass: dns.ClassINET}}
	if edns {
		m.SetEdns0(ednsSize, false)
	}
	wire, err := m.Pack()
	if err != nil {
		return query{}, fmt.Errorf("packing the query: %w", err)
	}
	name, end, err := dns.UnpackDomainName(wire, headerLen)
	if err != nil {
		return query{}, fmt.Errorf("packing the query: %w", err)
	}
	return query{wire: wire, question: wire[headerLen : end+4], id: m.Id, qtype: k.qtype, name: name}, nil
}

// send asks the question on a connection of its own, over "udp" or "tcp". A
// new UDP socket for each query has a new source port, which a forger must
// guess as well as the ID (RFC 5452, Section 9.2).
func send(ctx context.Context, network string, server netip.AddrPort, k key, edns bool) (reply, error) {
	q, err := newQuery(k, edns)
	if err != nil {
		return reply{}, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	// A deadline in the past wakes the read, for a cancelled context too.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		return overTCP(conn, q)
	}
	return overUDP(conn, q)
}

// overUDP reads until a datagram answers the question. Others may be forged or
// late and are overlooked; one that answers, but cannot be read, becomes the
// error when nothing better comes in time.
func overUDP(conn net.Conn, q query) (reply, error) {
	if _, err := conn.Write(q.wire); err != nil {
		return reply{}, err
	}
	var unread error
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return reply{}, cmp.Or(unread, err)
		}
		rep, err := parse(buf[:n], q)
		if err == nil {
			return rep, nil
		}
		if errors.Is(err, errMalformed) {
			unread = err
		}
	}
}

// overTCP exchanges one message with its length in front (RFC 1035, Section 4.2.2).
func overTCP(conn net.Conn, q query) (reply, error) {
	out := binary.BigEndian.AppendUint16(nil, uint16(len(q.wire)))
	if _, err := conn.Write(append(out, q.wire...)); err != nil {
		return reply{}, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return reply{}, err
	}
	in := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, in); err != nil {
		return reply{}, err
	}
	rep, err := parse(in, q)
	if err != nil {
		return reply{}, fmt.Errorf("%w over TCP: %w", errMalformed, err)
	}
	if rep.truncated {
		return reply{}, fmt.Errorf("%w: truncated over TCP", errMalformed)
	}
	return rep, nil
}
