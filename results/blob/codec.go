package blob

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A blob is written like this:
//
//	version  one byte, codecVersion
//	count    of the strings that follow: uvarint (encoding/binary)
//	strings  each a length and bytes
//	message  the rest: fields, see below
//
// A field is a tag, the uvarint of number<<1 | kind, and a value. Kind number:
// a uvarint. Kind nested: a length and so many bytes of fields. A string is a
// number, see reference. Fields with the zero value are left out, a list
// repeats its field. Readers skip fields that they do not know, so that a
// newer program can add some; numbers are never used again.
const (
	codecVersion = 1 // never '{'

	kindNumber = 0
	kindNested = 1
)

// A reference is the number of a string: its place in words or in the strings
// of the row, those first that the columns hold, times two, plus one for those
// of the row.
const (
	ofWords = 0
	ofRow   = 1
)

// Limits of a blob, far above what mail gives: ten signatures (dkim), five
// author domains (policy.MaxAuthors), fifty hops (arc).
const (
	maxNested = 4096 // nested messages of a row, all together
	// indexedStrings is from how many strings on a map finds them sooner.
	indexedStrings = 16
)

// ErrDamaged means that a blob is none, or was changed since it was written.
var ErrDamaged = errors.New("damaged")

// Encoder makes blobs, one after the other.
type Encoder struct {
	known  int      // strings at the beginning that the reader has from the columns
	texts  []string // of the row
	index  map[string]int
	nested int
	fields []byte
	out    Columns // with the buffer of its blob
	client [16]byte
}

// begin begins a row whose columns hold the known strings.
func (e *Encoder) begin(known ...string) {
	e.known, e.nested = len(known), 0
	e.texts, e.fields = append(e.texts[:0], known...), e.fields[:0]
	clear(e.index)
}

// appendTo appends the blob to b.
func (e *Encoder) appendTo(b []byte) ([]byte, error) {
	if e.nested > maxNested {
		return nil, fmt.Errorf("encoding a row: more than %d parts", maxNested)
	}
	own := e.texts[e.known:]
	b = append(b, codecVersion)
	b = binary.AppendUvarint(b, uint64(len(own)))
	for _, s := range own {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return append(b, e.fields...), nil
}

// number writes a field unless it is zero.
func (e *Encoder) number(field int, v uint64) {
	if v != 0 {
		e.element(field, v)
	}
}

// element writes a number also when it is zero, as a list needs it.
func (e *Encoder) element(field int, v uint64) {
	e.fields = binary.AppendUvarint(e.fields, uint64(field)<<1|kindNumber)
	e.fields = binary.AppendUvarint(e.fields, v)
}

func (e *Encoder) flag(field int, v bool) {
	if v {
		e.element(field, 1)
	}
}

func (e *Encoder) text(field int, s string) {
	if s != "" {
		e.element(field, e.reference(s))
	}
}

func (e *Encoder) list(field int, list []string) {
	for _, s := range list {
		e.element(field, e.reference(s))
	}
}

// reference returns the number of a string, and takes it up if it is new.
func (e *Encoder) reference(s string) uint64 {
	if i, found := wordNumbers[s]; found {
		return uint64(i)<<1 | ofWords
	}
	return uint64(e.place(s))<<1 | ofRow
}

func (e *Encoder) place(s string) int {
	if len(e.texts) < indexedStrings {
		if i := slices.Index(e.texts, s); i >= 0 {
			return i
		}
		e.texts = append(e.texts, s)
		return len(e.texts) - 1
	}
	if len(e.index) == 0 {
		e.fillIndex()
	}
	i, found := e.index[s]
	if !found {
		i = len(e.texts)
		e.texts = append(e.texts, s)
		e.index[s] = i
	}
	return i
}

func (e *Encoder) fillIndex() {
	if e.index == nil {
		e.index = make(map[string]int)
	}
	for i, s := range slices.Backward(e.texts) {
		e.index[s] = i
	}
}

// open begins a nested message, and close ends it: the length takes the one
// byte that is kept for it, or moves what follows.
func (e *Encoder) open(field int) (start int) {
	e.nested++
	e.fields = binary.AppendUvarint(e.fields, uint64(field)<<1|kindNested)
	e.fields = append(e.fields, 0)
	return len(e.fields)
}

func (e *Encoder) close(start int) {
	n := len(e.fields) - start
	if n < 0x80 {
		e.fields[start-1] = byte(n)
		return
	}
	var length [binary.MaxVarintLen64]byte
	e.fields = slices.Replace(e.fields, start-1, start, length[:binary.PutUvarint(length[:], uint64(n))]...)
}

// Reader is what all messages of a row share while it is read. It can be used for
// one row after the other.
type Reader struct {
	texts    []string
	nested   int
	err      error
	messages [maxDepth]message
	sum      sum // of the last row that had one: the next mostly has the same
}

// maxDepth is how deep messages are nested: row, facts, chain, sealer, recorded.
const maxDepth = 5

// message is a message while it is read: next goes to the next field.
type message struct {
	*Reader
	rest  []byte
	field int
	kind  int
	value uint64
	inner []byte
	depth int
}

// begin begins to read a row that was written with these known strings.
func (b *Reader) begin(data []byte, known ...string) (*message, error) {
	b.texts = append(b.texts[:0], known...)
	m, count, err := b.front(data)
	if err != nil {
		return nil, err
	}
	m.texts = slices.Grow(m.texts, int(count))
	all := string(data) // once, not for each string
	for range count {
		n := len(m.bytes())
		end := len(data) - len(m.rest)
		m.texts = append(m.texts, all[end-n:end])
	}
	return m, m.err
}

// front reads up to the strings, and how many they are.
func (b *Reader) front(data []byte) (m *message, count uint64, err error) {
	if len(data) == 0 || data[0] != codecVersion {
		return nil, 0, fmt.Errorf("%w: no row of this or an earlier program", ErrDamaged)
	}
	b.nested, b.err = 0, nil
	m = &b.messages[0]
	*m = message{Reader: b, rest: data[1:]}
	if count = m.uvarint(); count > uint64(len(m.rest)) { // each has at least its length
		return nil, 0, ErrDamaged
	}
	return m, count, nil
}

func (m *message) fail() { m.err, m.rest = ErrDamaged, nil }

func (m *message) uvarint() uint64 {
	v, n := binary.Uvarint(m.rest)
	if n <= 0 {
		m.fail()
		return 0
	}
	m.rest = m.rest[n:]
	return v
}

func (m *message) bytes() []byte {
	n := m.uvarint()
	if n > uint64(len(m.rest)) {
		m.fail()
		return nil
	}
	out := m.rest[:n]
	m.rest = m.rest[n:]
	return out
}

// next reports whether there is another field, and reads it.
func (m *message) next() bool {
	if m.err != nil || len(m.rest) == 0 {
		return false
	}
	tag := m.uvarint()
	m.field, m.kind = int(tag>>1), int(tag&1)
	if m.kind == kindNested {
		m.inner = m.bytes()
	} else {
		m.value = m.uvarint()
	}
	return m.err == nil
}

// is reports whether a field that is known has the kind it should have.
func (m *message) is(kind int) bool {
	if m.kind != kind {
		m.fail()
	}
	return m.kind == kind
}

func (m *message) number() uint64 {
	if !m.is(kindNumber) {
		return 0
	}
	return m.value
}

func (m *message) text() string {
	v := m.number()
	list := words
	if v&1 == ofRow {
		list = m.texts
	}
	if v>>1 >= uint64(len(list)) {
		m.fail()
		return ""
	}
	return list[v>>1]
}

// open returns the message that is nested in this field.
func (m *message) open() *message {
	m.nested++
	in := &m.messages[m.depth+1]
	*in = message{Reader: m.Reader, depth: m.depth + 1}
	if !m.is(kindNested) || m.nested > maxNested {
		m.fail()
		return in
	}
	in.rest = m.inner
	return in
}

// NamesRule reports whether a row names a rule, without reading it. Of a row
// that is damaged it says no.
func (b *Reader) NamesRule(data []byte) bool {
	m, count, err := b.front(data)
	if err != nil {
		return false
	}
	for range count {
		m.bytes()
	}
	for m.next() {
		if rowFields.key(m.field) != "decision" {
			continue
		}
		for in := m.open(); in.next(); {
			switch decisionFields.key(in.field) {
			case "rule", "also", "shadow", "unreported":
				return true
			}
		}
	}
	return false
}
