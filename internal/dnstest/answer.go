package dnstest

import (
	"strings"

	"github.com/miekg/dns"
)

// maxAliases bounds the chain of CNAMEs that is followed; a longer one, or a
// loop, is SERVFAIL.
const maxAliases = 20

// reply is what the zone says to a question.
type reply struct {
	rcode     int
	answers   []dns.RR
	authority []dns.RR
}

// answer looks a canonical name up. It knows the records only, not the
// directives about single names.
func (d *data) answer(name string, qtype uint16) reply {
	var rep reply
	for range maxAliases {
		rrs, exists := d.find(name)
		if !exists {
			rep.rcode = dns.RcodeNameError
			rep.authority = d.soa(name)
			return rep
		}
		if found := ofType(rrs, qtype, name); len(found) > 0 {
			rep.answers = append(rep.answers, found...)
			return rep
		}
		alias := ofType(rrs, dns.TypeCNAME, name)
		if len(alias) == 0 {
			rep.authority = d.soa(name)
			return rep
		}
		rep.answers = append(rep.answers, alias[0])
		name = canonical(alias[0].(*dns.CNAME).Target)
	}
	return reply{rcode: dns.RcodeServerFailure}
}

// find returns the records of a name: its own, or those of the wildcard at its
// closest encloser (RFC 4592, Section 3.3.1).
func (d *data) find(name string) ([]dns.RR, bool) {
	if rrs, ok := d.records[name]; ok || name == "." {
		return rrs, true
	}
	for encloser := parent(name); ; encloser = parent(encloser) {
		if _, ok := d.records[encloser]; ok || encloser == "." {
			rrs, ok := d.records["*."+strings.TrimPrefix(encloser, ".")]
			return rrs, ok
		}
	}
}

// ofType returns copies of the records of one type, owned by name.
func ofType(rrs []dns.RR, qtype uint16, name string) []dns.RR {
	var out []dns.RR
	for _, rr := range rrs {
		if rr.Header().Rrtype == qtype {
			rr = dns.Copy(rr)
			rr.Header().Name = name
			out = append(out, rr)
		}
	}
	return out
}

// soa returns the SOA record for a negative answer about name.
func (d *data) soa(name string) []dns.RR {
	if d.noSOA {
		return nil
	}
	for apex := name; ; apex = parent(apex) {
		if own := ofType(d.records[apex], dns.TypeSOA, apex); len(own) > 0 {
			return own
		}
		if apex == "." {
			break
		}
	}
	owner := "."
	if labels := dns.SplitDomainName(name); len(labels) > 0 {
		owner = tail(labels, 1) + "."
	}
	return []dns.RR{&dns.SOA{
		Hdr:     dns.RR_Header{Name: owner, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: d.negativeTTL},
		Ns:      "ns.invalid.",
		Mbox:    "hostmaster.invalid.",
		Serial:  1,
		Refresh: 3600, Retry: 600, Expire: 86400,
		Minttl: d.negativeTTL,
	}}
}
