package dnstest

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/miekg/dns"
)

// headerLen is the length of a message's header (RFC 1035, Section 4.1.1).
const headerLen = 12

// maxPresentation is the length of a name, with its final dot, that is surely
// no longer than 255 bytes in wire form.
const maxPresentation = 254

// respond returns the messages that answer a query, mostly one, in wire form.
func (d *data) respond(req *dns.Msg, udp bool) [][]byte {
	q := req.Question[0]
	name := canonical(q.Name)
	rep := new(dns.Msg).SetReply(req)
	rep.RecursionAvailable = true
	opt := req.IsEdns0()
	switch {
	case d.noEDNS && opt != nil:
		rep.Rcode = dns.RcodeFormatError
	case d.has(servfail, name, q.Qtype), d.has(bogus, name, q.Qtype):
		rep.Rcode = dns.RcodeServerFailure
	case d.has(refuse, name, q.Qtype):
		rep.Rcode = dns.RcodeRefused
	case d.has(loop, name, q.Qtype):
		rep.Answer = circle(q.Name)
	default:
		a := d.answer(name, q.Qtype)
		rep.Rcode, rep.Answer, rep.Ns = a.rcode, a.answers, a.authority
	}
	rep.AuthenticatedData = d.has(ad, name, q.Qtype)
	size := dns.MinMsgSize
	if opt != nil && rep.Rcode != dns.RcodeFormatError {
		rep.SetEdns0(dns.DefaultMsgSize, false)
		size = max(size, int(opt.UDPSize()))
		d.explain(rep, name, q.Qtype)
	}
	if udp {
		rep.Truncate(size)
		d.cut(rep, name, q.Qtype)
	}
	return d.spoil(rep, name, q.Qtype, udp)
}

// circle is an answer in which two names are aliases of each other.
func circle(name string) []dns.RR {
	other := "loop." + name
	if len(other) > maxPresentation {
		other = "loop.invalid."
	}
	alias := func(from, to string) dns.RR {
		return &dns.CNAME{Hdr: dns.RR_Header{Name: from, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: defaultTTL}, Target: to}
	}
	return []dns.RR{alias(name, other), alias(other, name)}
}

// explain adds the reason of a failure, which needs EDNS.
func (d *data) explain(rep *dns.Msg, name string, qtype uint16) {
	if d.has(bogus, name, qtype) {
		opt := rep.IsEdns0()
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus, ExtraText: "spoilt by dnstest"})
	}
}

// cut truncates by order, and leaves one record as a trap.
func (d *data) cut(rep *dns.Msg, name string, qtype uint16) {
	if d.has(truncate, name, qtype) {
		rep.Truncated = true
		rep.Answer = rep.Answer[:min(1, len(rep.Answer))]
	}
}

// spoil turns a reply into what a liar, a noisy path or a broken server sends.
func (d *data) spoil(rep *dns.Msg, name string, qtype uint16, udp bool) [][]byte {
	wire, err := rep.Pack()
	if err != nil {
		return nil
	}
	switch {
	case d.has(lie, name, qtype):
		return [][]byte{otherQuestion(rep)}
	case d.has(broken, name, qtype):
		return [][]byte{brokenRecord(rep)}
	case d.has(garbage, name, qtype):
		return [][]byte{randomBytes(rep.Id)}
	case udp && d.has(noise, name, qtype):
		return [][]byte{{}, wire[:5], otherID(rep), otherQuestion(rep), brokenRecord(rep), wire}
	}
	return [][]byte{wire}
}

// forged is what must never be believed.
const forged = "forged by dnstest"

func forge(rep *dns.Msg) *dns.Msg {
	m := rep.Copy()
	m.Rcode, m.Truncated, m.Ns = dns.RcodeSuccess, false, nil
	m.Answer = []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 3600},
		Txt: []string{forged},
	}}
	return m
}

func otherID(rep *dns.Msg) []byte {
	m := forge(rep)
	m.Id++
	wire, _ := m.Pack()
	return wire
}

func otherQuestion(rep *dns.Msg) []byte {
	m := forge(rep)
	m.Question[0].Name = "other.invalid."
	wire, _ := m.Pack()
	return wire
}

// randomBytes is a message of which nothing but the ID makes sense.
func randomBytes(id uint16) []byte {
	wire := make([]byte, headerLen+1+rand.IntN(500))
	for i := range wire {
		wire[i] = byte(rand.Uint32())
	}
	binary.BigEndian.PutUint16(wire, id)
	return wire
}

// brokenRecord claims one record more than there is and cuts the last short.
func brokenRecord(rep *dns.Msg) []byte {
	m := forge(rep)
	m.Extra = nil
	wire, _ := m.Pack()
	binary.BigEndian.PutUint16(wire[6:], 2)
	return wire[:max(headerLen, len(wire)-3)]
}
