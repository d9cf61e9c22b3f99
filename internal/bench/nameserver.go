package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
)

// nameServer answers questions over UDP and keeps nothing, so that a million
// lookups are soon done and what they leave in memory is the cache's. It is
// only for questions as dnscache sends them.
type nameServer struct {
	conn  *net.UDPConn
	txt   func(name []byte) []byte
	wg    sync.WaitGroup
	asked atomic.Int64
}

// serveNames begins to answer on a free port of 127.0.0.1. txt returns the data
// of the TXT record of a name in wire form and lower case, or nil when there is
// no such name; it is called from several goroutines.
func serveNames(txt func(name []byte) []byte) (*nameServer, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	s := &nameServer{conn: conn, txt: txt}
	for range runtime.NumCPU() {
		s.wg.Go(s.answerAll)
	}
	return s, nil
}

func (s *nameServer) address() string { return s.conn.LocalAddr().String() }

// close stops answering. Closing twice is harmless.
func (s *nameServer) close() {
	_ = s.conn.Close() // it has nothing left to say
	s.wg.Wait()
}

// maxQuery and maxReply are larger than what is asked and answered here.
const (
	maxQuery = 512
	maxReply = 1232
)

func (s *nameServer) answerAll() {
	in, out := make([]byte, maxQuery), make([]byte, 0, maxReply)
	for {
		n, client, err := s.conn.ReadFromUDPAddrPort(in)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		name, ok := questionName(in[:n])
		if err != nil || !ok {
			continue
		}
		s.asked.Add(1)
		out = appendReply(out[:0], in, name, s.txt(bytes.ToLower(name)))
		_, _ = s.conn.WriteToUDPAddrPort(out, client) // who hears nothing asks again
	}
}

// The parts of a message (RFC 1035, Section 4.1).
const (
	dnsHeader   = 12
	questionEnd = 4 // type and class behind the name
	typeTXT     = 16
	typeSOA     = 6
	classIN     = 1
	isReply     = 0x8180 // a reply, recursion desired and available
	noSuchName  = 3
	nameAbove   = 0xc000 | dnsHeader // a pointer to the name of the question

	// replyTTL is longer than any run.
	replyTTL = 86400
)

// questionName returns the name of the question in wire form.
func questionName(query []byte) ([]byte, bool) {
	for i := dnsHeader; i < len(query); i += 1 + int(query[i]) {
		if query[i] == 0 {
			return query[dnsHeader : i+1], i+questionEnd < len(query)
		}
	}
	return nil, false
}

// appendReply answers a query about name with one TXT record, or that there is
// no such name when txt is nil.
func appendReply(out, query, name, txt []byte) []byte {
	flags, answers, authorities := isReply, 1, 0
	if txt == nil {
		flags, answers, authorities = isReply|noSuchName, 0, 1
	}
	out = append(out, query[:2]...) // the ID
	for _, word := range []int{flags, 1, answers, authorities, 0} {
		out = binary.BigEndian.AppendUint16(out, uint16(word))
	}
	out = append(out, query[dnsHeader:dnsHeader+len(name)+questionEnd]...)
	if txt != nil {
		return appendRecord(binary.BigEndian.AppendUint16(out, nameAbove), typeTXT, txt)
	}
	return appendRecord(append(out, 0), typeSOA, rootSOA) // of the root, which encloses every name
}

func appendRecord(out []byte, qtype uint16, data []byte) []byte {
	out = binary.BigEndian.AppendUint16(out, qtype)
	out = binary.BigEndian.AppendUint16(out, classIN)
	out = binary.BigEndian.AppendUint32(out, replyTTL)
	out = binary.BigEndian.AppendUint16(out, uint16(len(data)))
	return append(out, data...)
}

// rootSOA names nobody; its last number is for how long there is no such name.
var rootSOA = binary.BigEndian.AppendUint32(make([]byte, 2+4*4), replyTTL)

// maxString is the longest string within a TXT record.
const maxString = 255

// txtData returns the data of a TXT record.
func txtData(text string) []byte {
	var out []byte
	for len(text) > 0 {
		n := min(len(text), maxString)
		out = append(append(out, byte(n)), text[:n]...)
		text = text[n:]
	}
	return out
}
