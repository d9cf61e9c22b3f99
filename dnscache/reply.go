package dnscache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

var (
	// errMalformed is a reply to our question that cannot be read.
	errMalformed = errors.New("malformed reply")

	// errNotOurs is a message that does not answer our question.
	errNotOurs = errors.New("not a reply to this query")
)

const (
	// headerLen is the length of a header (RFC 1035, Section 4.1.1).
	headerLen = 12

	// maxRecords is how many records of an answer are read; the rest is not
	// looked at. Busy domains have some 100 TXT records at their apex.
	maxRecords = 256

	// maxOthers is how many records of the other two sections are read, in
	// search of the SOA and the extended code.
	maxOthers = 64
)

// Bits of the header's second word.
const (
	bitQR     = 0x8000
	bitAA     = 0x0400
	bitTC     = 0x0200
	bitRA     = 0x0080
	opcodes   = 0x7800
	rcodeMask = 0x000f
)

// header is the fixed part of a message.
type header struct {
	id, bits       uint16
	qd, an, ns, ar int
}

func readHeader(wire []byte) header {
	word := func(i int) uint16 { return binary.BigEndian.Uint16(wire[2*i:]) }
	return header{id: word(0), bits: word(1), qd: int(word(2)), an: int(word(3)), ns: int(word(4)), ar: int(word(5))}
}

// reply is what a server sent back.
type reply struct {
	rcode     int
	truncated bool
	referral  bool // neither an answer nor the will to find one
	answer    answer
}

// failure returns why a reply is no answer, or 0 when it is one.
func (rep reply) failure() Kind {
	switch {
	case rep.referral, rep.rcode == dns.RcodeRefused:
		return Refused
	case rep.rcode == dns.RcodeSuccess, rep.rcode == dns.RcodeNameError:
		return 0
	}
	return ServFail
}

// word returns the reply's name in the metrics.
func (rep reply) word(kind Kind) string {
	switch {
	case kind != 0:
		return kind.String()
	case rep.rcode == dns.RcodeNameError:
		return "nxdomain"
	case rep.answer.empty():
		return "nodata"
	}
	return "ok"
}

// parse reads a message as the reply to q. A message with another ID, opcode
// or question is errNotOurs (RFC 5452, Section 9.1); the question must be the
// same to the byte. Of a truncated reply and of one with an error code nothing
// else is read.
func parse(wire []byte, q query) (reply, error) {
	if len(wire) < headerLen {
		return reply{}, errNotOurs
	}
	h := readHeader(wire)
	if h.id != q.id || h.bits&bitQR == 0 || h.bits&opcodes != 0 {
		return reply{}, errNotOurs
	}
	rep := reply{rcode: int(h.bits & rcodeMask), truncated: h.bits&bitTC != 0}
	answers := rep.rcode == dns.RcodeSuccess || rep.rcode == dns.RcodeNameError
	// A server that could not read the query may leave the question out.
	if h.qd == 0 && !answers {
		return rep, nil
	}
	if h.qd != 1 || !bytes.HasPrefix(wire[headerLen:], q.question) {
		return reply{}, errNotOurs
	}
	if rep.truncated || !answers {
		return rep, nil
	}
	return rep.read(wire, h, q)
}

// read fills in the answer.
func (rep reply) read(wire []byte, h header, q query) (reply, error) {
	answers, off, err := unpack(wire, headerLen+len(q.question), h.an, maxRecords)
	if err != nil {
		return reply{}, err
	}
	var others []dns.RR
	if h.an <= maxRecords { // otherwise the other sections were not reached
		if others, _, err = unpack(wire, off, h.ns+h.ar, maxOthers); err != nil {
			return reply{}, err
		}
	}
	if high := extendedRcode(others); high != 0 {
		rep.rcode |= high
		return rep, nil
	}
	soa := findSOA(others)
	if rep.answer, err = collect(answers, soa, q); err != nil {
		return reply{}, err
	}
	rep.answer.nxdomain = rep.answer.nxdomain && rep.rcode == dns.RcodeNameError
	rep.referral = rep.rcode == dns.RcodeSuccess && rep.answer.empty() && soa == nil && h.bits&(bitAA|bitRA) == 0
	return rep, nil
}

// unpack reads the first records of a section, at most limit. Unlike the
// library's Msg.Unpack it minds when there are fewer than the header says:
// an answer cut short would look like "there is none".
func unpack(wire []byte, off, count, limit int) ([]dns.RR, int, error) {
	var rrs []dns.RR
	for range min(count, limit) {
		if off >= len(wire) {
			return nil, 0, fmt.Errorf("%w: cut short", errMalformed)
		}
		rr, next, err := dns.UnpackRR(wire, off)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", errMalformed, err)
		}
		rrs, off = append(rrs, rr), next
	}
	return rrs, off, nil
}

// extendedRcode returns the upper bits of the response code, which EDNS has
// (RFC 6891, Section 6.1.3), in their place above the header's four.
func extendedRcode(rrs []dns.RR) int {
	for _, rr := range rrs {
		if opt, ok := rr.(*dns.OPT); ok {
			return opt.ExtendedRcode() &^ rcodeMask
		}
	}
	return 0
}

func findSOA(rrs []dns.RR) *dns.SOA {
	for _, rr := range rrs {
		if soa, ok := rr.(*dns.SOA); ok && soa.Hdr.Class == dns.ClassINET {
			return soa
		}
	}
	return nil
}
