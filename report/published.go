package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"dmarcgate/auth/dmarc"
)

// newPublished is what a report shows of a record. What the record does not say has the
// default of the standard: sp that of p, and np that of sp. A record that must not be
// enforced counts as p=none for all names (RFC 9989, Section 4.10.1).
func newPublished(r dmarc.Record, discovery string) Published {
	p := Published{ADKIM: r.ADKIM, ASPF: r.ASPF, FO: r.FO, Testing: r.T, Pct: r.Pct, Discovery: discovery}
	method := dmarc.TreeWalk
	if discovery == dmarc.PSL.String() {
		method = dmarc.PSL
	}
	if r.Broken(method) {
		return p
	}
	p.P, p.SP = r.P.Policy, r.P.Policy
	if r.SP.Presence == dmarc.Valid {
		p.SP = r.SP.Policy
	}
	p.NP = p.SP
	if r.NP.Presence == dmarc.Valid {
		p.NP = r.NP.Policy
	}
	return p
}

// hash is Report.PolicyHash: of all that a report shows, in either form.
func (p Published) hash() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "p=%s sp=%s np=%s adkim=%s aspf=%s fo=%s t=%t pct=%d discovery=%s",
		p.P, p.SP, p.NP, p.ADKIM, p.ASPF, p.FO, p.Testing, p.Pct, p.Discovery))
	return hex.EncodeToString(sum[:8])
}

// packedSize is the length of a Published in a key.
const packedSize = 9

// discoveries are the methods in a key, by number.
var discoveries = []string{"", dmarc.TreeWalk.String(), dmarc.PSL.String()}

// pack is the policy in a key.
func (p Published) pack() (b [packedSize]byte) {
	b = [packedSize]byte{byte(p.P), byte(p.SP), byte(p.NP), byte(p.ADKIM), byte(p.ASPF), byte(p.FO), 0, p.Pct, 0}
	if p.Testing {
		b[6] = 1
	}
	for i, word := range discoveries {
		if word == p.Discovery {
			b[8] = byte(i)
		}
	}
	return b
}

// unpack is the inverse of pack.
func unpack(b []byte) Published {
	return Published{
		P: dmarc.Policy(b[0]), SP: dmarc.Policy(b[1]), NP: dmarc.Policy(b[2]), ADKIM: dmarc.Mode(b[3]), ASPF: dmarc.Mode(b[4]),
		FO: dmarc.FailureOptions(b[5]), Testing: b[6] == 1, Pct: b[7], Discovery: discoveries[b[8]],
	}
}

// maxPolicies is how many records are kept read. Most domains have one of a few.
const maxPolicies = 4096

// policies reads the records of rows, each text once.
type policies struct {
	read map[policyText]policyKey
}

type policyText struct{ record, discovery string }

// policyKey is a record as keys have it.
type policyKey struct {
	packed [packedSize]byte
	hash   string
	ok     bool // the text is a record
	noP    bool // the record has neither p nor sp nor np: it only asks for reports
}

func (l *policies) of(record, discovery string) policyKey {
	if discovery != dmarc.TreeWalk.String() && discovery != dmarc.PSL.String() {
		discovery = ""
	}
	text := policyText{record, discovery}
	if k, known := l.read[text]; known {
		return k
	}
	if l.read == nil || len(l.read) >= maxPolicies {
		l.read = make(map[policyText]policyKey)
	}
	var k policyKey
	if r, err := dmarc.ParsePolicyTags(record); err == nil {
		p := newPublished(r, discovery)
		k = policyKey{p.pack(), p.hash(), true, r.P.Presence == dmarc.Absent && r.SP.Presence == dmarc.Absent && r.NP.Presence == dmarc.Absent}
	}
	l.read[text] = k
	return k
}
