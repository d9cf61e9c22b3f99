package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

var (
	// errMalformed is a reply to our question that cannot be read.
	errMalformed = errors.New("malformed reply")

	// errNotOurs is a message that does not answer our question.
	errNotOurs = errors.New("not a reply to this query")

	// errOtherQuestion is one with the right ID.
	errOtherQuestion = fmt.Errorf("%w: another question", errNotOurs)

	// ErrRecased is a reply that spells the name in another case than the
	// query: it is forged, or the server does not repeat the case.
	ErrRecased = errors.New("a reply in another case than the query")

	// ErrSpoofed is a query that got too many wrong replies.
	ErrSpoofed = errors.New("too many replies that are wrong")
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
	bitAD     = 0x0020
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

// Reply is what a server sent back.
type Reply struct {
	Answer    Answer
	Truncated bool
	Recased   bool // its question differs from that of the query in the case of letters

	rcode    int
	bogus    bool // the server says that the signatures are wrong
	referral bool // neither an answer nor the will to find one

	// rest is set when the answer is a chain of CNAMEs without its end: the
	// name that it ends at, as unpacking spells it, of which nothing is said.
	rest string
}

// Failure returns why a reply is no answer, or 0 when it is one.
func (rep Reply) Failure() Kind {
	switch {
	case rep.referral, rep.rcode == dns.RcodeRefused:
		return Refused
	case rep.rcode == dns.RcodeSuccess, rep.rcode == dns.RcodeNameError:
		return 0
	case rep.bogus:
		return Bogus
	}
	return ServFail
}

// WithoutEDNS reports whether the server may answer a query without EDNS. One
// that does not know it says FORMERR (RFC 6891, Section 7) or NOTIMP; one that
// says BADVERS to version 0 does not know it well.
func (rep Reply) WithoutEDNS() bool {
	switch rep.rcode {
	case dns.RcodeFormatError, dns.RcodeNotImplemented, dns.RcodeBadVers:
		return true
	}
	return false
}

// Word returns the reply's name in the metrics.
func (rep Reply) Word(kind Kind) string {
	switch {
	case kind != 0:
		return kind.String()
	case rep.rcode == dns.RcodeNameError:
		return "nxdomain"
	case rep.Answer.Empty():
		return "nodata"
	}
	return "ok"
}

// parse reads a message as the reply to q. A message with another ID, opcode
// or question is errNotOurs (RFC 5452, Section 9.1); the question must be the
// same to the byte, or the reply is marked as recased. Of a truncated reply nothing else is read, and of one with
// an error code only the reason for it, as far as that is possible.
func parse(wire []byte, q query) (Reply, error) {
	if len(wire) < headerLen {
		return Reply{}, errNotOurs
	}
	h := readHeader(wire)
	if h.id != q.id || h.bits&bitQR == 0 || h.bits&opcodes != 0 {
		return Reply{}, errNotOurs
	}
	rep := Reply{rcode: int(h.bits & rcodeMask), Truncated: h.bits&bitTC != 0}
	answers := rep.rcode == dns.RcodeSuccess || rep.rcode == dns.RcodeNameError
	// A server that could not read the query may leave the question out.
	if h.qd == 0 && !answers {
		return rep, nil
	}
	if h.qd != 1 || !sameQuestion(wire[headerLen:], q.question) {
		return Reply{}, errOtherQuestion
	}
	rep.Recased = !bytes.HasPrefix(wire[headerLen:], q.question)
	if rep.Truncated {
		return rep, nil
	}
	if !answers {
		rrs, _, _ := unpack(wire, headerLen+len(q.question), h.an+h.ns+h.ar, maxOthers)
		rep.bogus = rep.rcode == dns.RcodeServerFailure && saysBogus(rrs)
		return rep, nil
	}
	return rep.read(wire, h, q)
}

// sameQuestion reports whether wire begins with a question, but for the case of
// letters. Of the type and class behind the name all bytes count; those of the
// types that are queried are no letters.
func sameQuestion(wire, question []byte) bool {
	if len(wire) < len(question) {
		return false
	}
	for i, c := range question {
		if lowerByte(wire[i]) != lowerByte(c) {
			return false
		}
	}
	return true
}

// read fills in the answer.
func (rep Reply) read(wire []byte, h header, q query) (Reply, error) {
	answers, off, err := unpack(wire, headerLen+len(q.question), h.an, maxRecords)
	if err != nil {
		return Reply{}, err
	}
	var others []dns.RR
	if h.an <= maxRecords { // otherwise the other sections were not reached
		if others, _, err = unpack(wire, off, h.ns+h.ar, maxOthers); err != nil {
			return Reply{}, err
		}
	}
	if high := extendedRcode(others); high != 0 {
		rep.rcode |= high
		return rep, nil
	}
	soa := findSOA(others)
	if rep.Answer, err = collect(answers, soa, q); err != nil {
		return Reply{}, err
	}
	rep.Answer.AD = h.bits&bitAD != 0
	rep.Answer.NXDomain = rep.Answer.NXDomain && rep.rcode == dns.RcodeNameError
	if rep.rcode == dns.RcodeSuccess && rep.Answer.Empty() && soa == nil {
		rep.referral = h.bits&(bitAA|bitRA) == 0
		rep.rest, rep.Answer.TTL = unfinished(answers, q)
	}
	return rep, nil
}

// unfinished returns the end of a chain of CNAMEs, and how long the chain may
// be kept; an empty name when there is none.
func unfinished(answers []dns.RR, q query) (string, time.Duration) {
	end, ttl, err := follow(answers, q.name)
	if err != nil || end == q.name {
		return "", 0
	}
	return end, time.Duration(ttl) * time.Second
}

// join is a reply that ends in an alias, together with the one about its target.
func (rep Reply) join(next Reply) Reply {
	next.Answer.NXDomain = false // that is the target (RFC 6604, Section 3)
	next.Answer.TTL = min(rep.Answer.TTL, next.Answer.TTL)
	next.Answer.AD = rep.Answer.AD && next.Answer.AD
	return next
}

// unpack reads the first records of a section, at most limit; those before an
// error come with it. Unlike the
// library's Msg.Unpack it minds when there are fewer than the header says:
// an answer cut short would look like "there is none".
func unpack(wire []byte, off, count, limit int) ([]dns.RR, int, error) {
	var rrs []dns.RR
	for range min(count, limit) {
		if off >= len(wire) {
			return rrs, off, fmt.Errorf("%w: cut short", errMalformed)
		}
		rr, next, err := dns.UnpackRR(wire, off)
		if err != nil {
			return rrs, off, fmt.Errorf("%w: %w", errMalformed, err)
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

// saysBogus looks for an extended error of the DNSSEC family (RFC 8914,
// Sections 4.2, 4.3 and 4.6 to 4.13).
func saysBogus(rrs []dns.RR) bool {
	for _, rr := range rrs {
		opt, ok := rr.(*dns.OPT)
		if ok && slices.ContainsFunc(opt.Option, isBogus) {
			return true
		}
	}
	return false
}

func isBogus(o dns.EDNS0) bool {
	ede, ok := o.(*dns.EDNS0_EDE)
	if !ok {
		return false
	}
	switch ede.InfoCode {
	case dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm, dns.ExtendedErrorCodeUnsupportedDSDigestType,
		dns.ExtendedErrorCodeDNSSECIndeterminate, dns.ExtendedErrorCodeDNSBogus,
		dns.ExtendedErrorCodeSignatureExpired, dns.ExtendedErrorCodeSignatureNotYetValid,
		dns.ExtendedErrorCodeDNSKEYMissing, dns.ExtendedErrorCodeRRSIGsMissing,
		dns.ExtendedErrorCodeNoZoneKeyBitSet, dns.ExtendedErrorCodeNSECMissing:
		return true
	}
	return false
}

func findSOA(rrs []dns.RR) *dns.SOA {
	for _, rr := range rrs {
		if soa, ok := rr.(*dns.SOA); ok && soa.Hdr.Class == dns.ClassINET {
			return soa
		}
	}
	return nil
}
