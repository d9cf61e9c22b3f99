package report

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
)

// A key of a sorter is the group (policy domain, published policy, number of the period),
// a tag, and what the tag says. Keys sort by group, and notes come before records.
const (
	tagNote   = 0 // about the group: a note
	tagRecord = 1 // a record
)

// Notes of a group.
const (
	noteOptional = 'o' // messages that are report traffic
	notePassed   = 'p' // of them, accepted with an aligned pass
	noteDefect   = 'd' // the name of a defect follows
	noteOrg      = 'g' // the organizational domain follows, where it is not the policy domain
)

// group begins all keys of a report.
type group struct {
	domain string
	packed [packedSize]byte
	period uint32 // number of the period
}

// appendTo appends the group to a key. A domain has no byte 0, so no group begins another.
func (g *group) appendTo(key []byte) []byte {
	key = append(append(key, g.domain...), 0)
	key = append(key, g.packed[:]...)
	return binary.BigEndian.AppendUint32(key, g.period)
}

// errDamagedKey means that a key is not as it was made.
var errDamagedKey = errors.New("report: a key is damaged")

// cutGroup returns how many bytes of a key are its group.
func cutGroup(key []byte) (int, error) {
	n := bytes.IndexByte(key, 0) + 1 + packedSize + 4
	if n <= packedSize+4 || n >= len(key) {
		return 0, errDamagedKey
	}
	return n, nil
}

// readGroup is the inverse of appendTo.
func readGroup(b []byte) group {
	n := len(b) - packedSize - 4
	g := group{domain: string(b[:n-1]), period: binary.BigEndian.Uint32(b[n+packedSize:])}
	copy(g.packed[:], b[n:])
	return g
}

// The bits of a record in its key.
const (
	bitDKIM = 1 << iota
	bitSPF
	bitNull
	bitHasIPv4
)

// Places in what appendRecord appends.
const (
	placeDisposition = 16
	placeBits        = 17
)

var dispositionWords = []Disposition{None, Pass, Quarantine, Reject}

// appendRecord appends all of a record but its count: the address first, so that records
// with the same count are in the order of their addresses.
func appendRecord(key []byte, r *Record) []byte {
	source := r.Source.As16()
	bits := byte(0)
	for i, set := range [...]bool{r.DKIM, r.SPF, r.NullPath, r.Source.Is4()} {
		if set {
			bits |= 1 << i
		}
	}
	key = append(append(key, source[:]...), byte(slices.Index(dispositionWords, r.Disposition)), bits)
	key = appendText(appendText(appendText(key, r.HeaderFrom), r.EnvelopeFrom), r.EnvelopeTo)
	key = append(key, byte(len(r.Reasons)))
	for i := range r.Reasons {
		key = appendText(appendText(key, r.Reasons[i].Type), r.Reasons[i].Comment)
	}
	key = appendText(appendText(appendText(key, r.Checked.Domain), r.Checked.Result), r.Checked.Human)
	key = append(key, byte(len(r.Signatures)))
	for i := range r.Signatures {
		s := &r.Signatures[i]
		key = appendText(appendText(appendText(appendText(key, s.Domain), s.Selector), s.Result), s.Human)
	}
	return key
}

// keyPassed is passed of a record that appendRecord has appended.
func keyPassed(record []byte) bool {
	return len(record) > placeBits && record[placeBits]&(bitDKIM|bitSPF) != 0 && record[placeDisposition] <= 1 // None or Pass
}

func appendText(key []byte, text string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(text))), text...)
}

// keyReader reads what appendRecord has written.
type keyReader struct {
	rest string
	bad  bool
}

func (k *keyReader) byte() byte {
	if len(k.rest) == 0 {
		k.bad = true
		return 0
	}
	b := k.rest[0]
	k.rest = k.rest[1:]
	return b
}

func (k *keyReader) text() string {
	var n uint64
	for shift := 0; ; shift += 7 {
		b := k.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	if n > uint64(len(k.rest)) {
		k.bad = true
		return ""
	}
	text := k.rest[:n]
	k.rest = k.rest[n:]
	return text
}

// readRecord is the inverse of appendRecord. The lists of r are used again.
func readRecord(key []byte, r *Record) error {
	k := keyReader{rest: string(key)}
	if len(key) < 16 {
		return errDamagedKey
	}
	source := netip.AddrFrom16([16]byte(key))
	k.rest = k.rest[16:]
	disposition, bits := k.byte(), k.byte()
	if int(disposition) >= len(dispositionWords) {
		return errDamagedKey
	}
	if bits&bitHasIPv4 != 0 {
		source = source.Unmap()
	}
	*r = Record{
		Source: source, Disposition: dispositionWords[disposition], DKIM: bits&bitDKIM != 0, SPF: bits&bitSPF != 0, NullPath: bits&bitNull != 0,
		HeaderFrom: k.text(), EnvelopeFrom: k.text(), EnvelopeTo: k.text(), Reasons: r.Reasons[:0], Signatures: r.Signatures[:0],
	}
	for range k.byte() {
		r.Reasons = append(r.Reasons, Reason{k.text(), k.text()})
	}
	r.Checked = SPF{k.text(), k.text(), k.text()}
	for range k.byte() {
		r.Signatures = append(r.Signatures, Signature{k.text(), k.text(), k.text(), k.text()})
	}
	if k.bad || k.rest != "" {
		return errDamagedKey
	}
	return nil
}
