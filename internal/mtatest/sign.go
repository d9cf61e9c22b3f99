package mtatest

import (
	"crypto"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// SignedZone is a zone with DNSSEC signatures (RFC 4035, Section 2), made by
// SignZone. It has no NSEC records: that a name is not there cannot be proved.
type SignedZone struct {
	apex, text, anchor string
}

// signedFor is how long signatures hold: longer than any test runs.
const signedFor = 24 * time.Hour

// keyBits is the size of the key, of ECDSAP256SHA256.
const keyBits = 256

// SignZone signs the records of zoneText, text as StartDNS takes it, as a zone
// of its own, with one key. The signatures of the names in spoilt are wrong.
func SignZone(apex, zoneText string, spoilt ...string) (*SignedZone, error) {
	apex = dns.Fqdn(apex)
	key := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: apex, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := key.Generate(keyBits)
	if err != nil {
		return nil, err
	}
	sets, order, err := recordSets(apex, zoneText)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, set := range append([][]dns.RR{{key}}, pick(sets, order)...) {
		sig, err := signSet(key, private.(crypto.Signer), set, spoilt)
		if err != nil {
			return nil, err
		}
		for _, rr := range append(set, sig) {
			text.WriteString(rr.String() + "\n")
		}
	}
	return &SignedZone{apex: apex, text: text.String(), anchor: strings.ReplaceAll(key.String(), "\t", " ")}, nil
}

// recordSets reads zone text and sorts its records into sets, in their order.
func recordSets(apex, zoneText string) (sets map[dns.RR_Header][]dns.RR, order []dns.RR_Header, err error) {
	head := fmt.Sprintf("%s SOA ns.%[1]s hostmaster.%[1]s 1 3600 600 86400 60\n%[1]s NS ns.%[1]s\nns.%[1]s A 127.0.0.1\n", apex)
	zp := dns.NewZoneParser(strings.NewReader(head+zoneText+"\n"), ".", "")
	zp.SetDefaultTTL(300)
	sets = make(map[dns.RR_Header][]dns.RR)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		h := dns.RR_Header{Name: rr.Header().Name, Rrtype: rr.Header().Rrtype}
		if sets[h] == nil {
			order = append(order, h)
		}
		sets[h] = append(sets[h], rr)
	}
	return sets, order, zp.Err()
}

func pick(sets map[dns.RR_Header][]dns.RR, order []dns.RR_Header) [][]dns.RR {
	var out [][]dns.RR
	for _, h := range order {
		out = append(out, sets[h])
	}
	return out
}

// signSet returns the signature of a set of records.
func signSet(key *dns.DNSKEY, signer crypto.Signer, set []dns.RR, spoilt []string) (*dns.RRSIG, error) {
	now := time.Now()
	sig := &dns.RRSIG{
		Hdr:        dns.RR_Header{Ttl: set[0].Header().Ttl},
		Algorithm:  key.Algorithm,
		Inception:  uint32(now.Add(-time.Hour).Unix()),
		Expiration: uint32(now.Add(signedFor).Unix()),
		KeyTag:     key.KeyTag(),
		SignerName: key.Hdr.Name,
	}
	if err := sig.Sign(signer, set); err != nil {
		return nil, fmt.Errorf("signing %s: %w", set[0].Header().Name, err)
	}
	for _, name := range spoilt {
		if dns.Fqdn(name) == set[0].Header().Name {
			sig.Signature = "AAAA" + sig.Signature[4:]
		}
	}
	return sig, nil
}
