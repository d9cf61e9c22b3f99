package wire

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxAliases is how many CNAMEs of an answer are followed. Recursive servers
// give up at about as many (Unbound at 11, BIND at 16).
const maxAliases = 16

// Answer is what a server said, positively. It is not to be changed.
type Answer struct {
	Records  []string     // TXT, MX, PTR, NS; of an SOA its server and its mailbox
	Addrs    []netip.Addr // A, AAAA
	NXDomain bool         // the name itself does not exist
	AD       bool         // the server says that it has validated the answer (RFC 4035, Section 3.2.3)
	TTL      time.Duration
}

// Empty reports whether it is "there is none".
func (a *Answer) Empty() bool { return len(a.Records) == 0 && len(a.Addrs) == 0 }

// collect takes the records that answer q out of an answer section: those at
// the end of the chain of CNAMEs that starts at the question. nxdomain is set
// when there is no chain: with one, NXDOMAIN is about its end and the name
// itself exists (RFC 6604, Section 3).
func collect(rrs []dns.RR, soa *dns.SOA, q query) (Answer, error) {
	name, ttl, err := follow(rrs, q.name)
	if err != nil {
		return Answer{}, err
	}
	if q.qtype == dns.TypeMX {
		slices.SortStableFunc(rrs, func(a, b dns.RR) int { return cmp.Compare(preference(a), preference(b)) })
	}
	var a Answer
	for _, rr := range rrs {
		if isRecord(rr, name, q.qtype) && a.add(rr) {
			ttl = min(ttl, ttlOf(rr))
		}
	}
	if a.Empty() {
		ttl = min(ttl, negativeTTL(soa))
		a.NXDomain = name == q.name
	}
	a.TTL = time.Duration(ttl) * time.Second
	return a, nil
}

// follow returns the end of the chain of CNAMEs from name, and their least TTL.
func follow(rrs []dns.RR, name string) (string, uint32, error) {
	ttl := uint32(math.MaxInt32)
	for range maxAliases + 1 {
		alias := findAlias(rrs, name)
		if alias == nil {
			return name, ttl, nil
		}
		name, ttl = alias.Target, min(ttl, ttlOf(alias))
	}
	return "", 0, fmt.Errorf("%w: more than %d aliases", errMalformed, maxAliases)
}

func findAlias(rrs []dns.RR, name string) *dns.CNAME {
	for _, rr := range rrs {
		if c, ok := rr.(*dns.CNAME); ok && isRecord(c, name, dns.TypeCNAME) {
			return c
		}
	}
	return nil
}

// isRecord compares names as the library unpacks them: escapes are uniform,
// and only ASCII letters are left to differ in case.
func isRecord(rr dns.RR, name string, qtype uint16) bool {
	h := rr.Header()
	return h.Rrtype == qtype && h.Class == dns.ClassINET && strings.EqualFold(h.Name, name)
}

func preference(rr dns.RR) uint16 {
	if mx, ok := rr.(*dns.MX); ok {
		return mx.Preference
	}
	return 0
}

// negativeTTL is how long "there is none" holds (RFC 2308, Section 5): not at
// all without an SOA.
func negativeTTL(soa *dns.SOA) uint32 {
	if soa == nil {
		return 0
	}
	return min(ttlOf(soa), soa.Minttl)
}

// ttlOf reads a TTL with the highest bit set as 0 (RFC 2181, Section 8).
func ttlOf(rr dns.RR) uint32 {
	if ttl := rr.Header().Ttl; ttl <= math.MaxInt32 {
		return ttl
	}
	return 0
}

// add takes the data of a record, and returns false when it has none of use.
func (a *Answer) add(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.A:
		return a.addAddr(rr.A.To4())
	case *dns.AAAA:
		return a.addAddr(rr.AAAA)
	case *dns.TXT:
		a.Records = append(a.Records, unescape(strings.Join(rr.Txt, "")))
		return true
	case *dns.MX:
		return a.addHost(rr.Mx)
	case *dns.PTR:
		return a.addHost(rr.Ptr)
	case *dns.NS:
		return a.addHost(rr.Ns)
	case *dns.SOA:
		return a.addSOA(rr)
	}
	return false
}

func (a *Answer) addAddr(b []byte) bool {
	ip, ok := netip.AddrFromSlice(b)
	if ok {
		a.Addrs = append(a.Addrs, ip)
	}
	return ok
}

func (a *Answer) addHost(text string) bool {
	name, ok := host(text)
	if ok {
		a.Records = append(a.Records, name)
	}
	return ok
}

// addSOA takes the two names of an SOA that are of use; a zone has one SOA.
func (a *Answer) addSOA(rr *dns.SOA) bool {
	if !a.Empty() {
		return false
	}
	server, _ := host(rr.Ns)
	a.Records = []string{server, mailbox(rr.Mbox)}
	return true
}

// mailbox reads a name as an address: the first label is the local part, and
// may hold dots of its own (RFC 1035, Section 8).
func mailbox(name string) string {
	local, domain, ok := cutLabel(name)
	if !ok {
		return ""
	}
	if domain, ok = host(domain); !ok || domain == "." {
		return ""
	}
	return unescape(local) + "@" + domain
}

// cutLabel splits zone file text at the first dot that is not escaped.
func cutLabel(name string) (label, rest string, ok bool) {
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++ // of three digits, the others are no dots either
		case '.':
			return name[:i], name[i+1:], i > 0
		}
	}
	return "", "", false
}

// unescape returns the bytes of a TXT record. The library gives its text as a
// zone file would have it: `\"`, `\\` and `\195`.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		if c, ok := decimal(s[i+1:]); ok {
			b = append(b, c)
			i += 3
			continue
		}
		i++
		b = append(b, s[i])
	}
	return string(b)
}

// decimal reads three digits as a byte.
func decimal(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s[:3]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return byte(n), n <= 255
}
