package dkim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math/bits"
	"slices"
)

// canonicalizer takes a body in parts of any size and hashes what becomes of
// it. Nothing of the body is kept but what a part may end within: white
// space, line breaks, a CR.
type canonicalizer interface {
	write(p []byte)
	close() *digest
}

// digest is the running hash of one canonical body. One is enough for all
// signatures: where l= ends, the sum of what came so far is noted.
type digest struct {
	hash   hash.Hash
	length int64
	limits []int64 // those still to come, ascending
	sums   map[int64][]byte
	buf    [4096]byte // small parts are collected: hashing in bulk is cheaper
	used   int
}

func newDigest(limits []int64) *digest {
	slices.Sort(limits)
	return &digest{hash: sha256.New(), limits: slices.Compact(limits), sums: make(map[int64][]byte)}
}

func (d *digest) write(p []byte) {
	if len(p) > len(d.buf)/4 {
		d.flush()
		d.feed(p)
		return
	}
	if d.used+len(p) > len(d.buf) {
		d.flush()
	}
	d.used += copy(d.buf[d.used:], p)
}

func (d *digest) flush() {
	d.feed(d.buf[:d.used])
	d.used = 0
}

// feed hashes p and stops at the limits within it.
func (d *digest) feed(p []byte) {
	for len(d.limits) > 0 && d.limits[0]-d.length <= int64(len(p)) {
		n := d.limits[0] - d.length
		d.hash.Write(p[:n])
		d.length, p = d.limits[0], p[n:]
		d.sums[d.limits[0]] = d.hash.Sum(nil)
		d.limits = d.limits[1:]
	}
	d.hash.Write(p)
	d.length += int64(len(p))
}

// finish notes the sum of the whole; limits that were not reached have none.
func (d *digest) finish() *digest {
	d.flush()
	d.sums[whole] = d.hash.Sum(nil)
	return d
}

// crlfs is what held line ends are written from.
var (
	crlfs    = bytes.Repeat([]byte("\r\n"), 512)
	oneSpace = []byte{' '}
)

// simple is the simple body canonicalization (RFC 6376, Section 3.4.3): empty
// lines at the end do not count, and the last line ends in CRLF. A CR or LF
// alone is a byte like others.
type simple struct {
	out  *digest
	ends int64 // CRLFs not written yet: they may be the empty lines at the end
	cr   bool  // and behind them a CR, of which the LF may be missing
	any  bool  // something was written
}

func (s *simple) write(p []byte) {
	if len(p) == 0 {
		return
	}
	if s.cr {
		s.cr = false
		if p[0] == '\n' {
			s.ends++
			p = p[1:]
		} else {
			s.data(crlfs[:1])
		}
	}
	n, ends := len(p), int64(0)
	if n > 0 && p[n-1] == '\r' {
		s.cr = true
		n--
	}
	for n >= 2 && p[n-1] == '\n' && p[n-2] == '\r' {
		n -= 2
		ends++
	}
	if n > 0 {
		s.data(p[:n])
	}
	s.ends += ends
}

// data writes the line ends that were held, then p.
func (s *simple) data(p []byte) {
	for s.ends > 0 {
		n := min(s.ends, int64(len(crlfs)/2))
		s.out.write(crlfs[:2*n])
		s.ends -= n
	}
	s.out.write(p)
	s.any = true
}

// close ends the body. An absent body is one CRLF.
func (s *simple) close() *digest {
	if s.cr {
		s.data(crlfs[:1])
	}
	s.out.write(crlfs[:2])
	return s.out.finish()
}

// relaxed is the relaxed body canonicalization (RFC 6376, Section 3.4.4):
// white space at the end of lines goes, elsewhere a run of it becomes one
// space; then as simple, but an empty body stays empty.
type relaxed struct {
	lines simple
	wsp   bool // within a run of white space that is not written yet
	cr    bool // and behind it a CR, of which the LF may be missing
}

func (r *relaxed) write(p []byte) {
	if len(p) == 0 {
		return
	}
	if r.cr {
		r.cr, r.wsp = false, false
		if p[0] != '\n' {
			r.lines.write(oneSpace)
		}
		r.lines.write(crlfs[:1])
	}
	for at := 0; at < len(p); {
		start := at
		if r.wsp {
			if start, at = r.run(p, at); r.wsp {
				return // the run goes on in the next part
			}
		}
		at += untouched(p[at:])
		r.lines.write(p[start:at])
		r.wsp = at < len(p)
	}
}

// run leaves the run of white space in which p[at] may stand and returns where
// the text behind it begins. The space that stands for the run is written, or
// it is the last one of the run and start points to it, so that it goes with
// the text.
func (r *relaxed) run(p []byte, at int) (start, next int) {
	first := at
	for at < len(p) && (p[at] == ' ' || p[at] == '\t') {
		at++
	}
	if at == len(p) {
		return at, at
	}
	if p[at] == '\r' && at+1 == len(p) {
		r.cr = true
		return at, at
	}
	r.wsp = false
	switch {
	case p[at] == '\r' && p[at+1] == '\n': // the end of a line
		return at, at
	case at > first && p[at-1] == ' ':
		return at - 1, at
	}
	r.lines.write(oneSpace)
	return at, at
}

// close ends the body.
func (r *relaxed) close() *digest {
	if r.cr { // a CR without LF: text
		r.lines.write(oneSpace)
		r.lines.write(crlfs[:1])
	}
	if r.lines.any || r.lines.cr {
		return r.lines.close()
	}
	return r.lines.out.finish()
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// equal marks, with its highest bit, each byte of w that is c.
func equal(w uint64, c byte) uint64 {
	x := w ^ ones*uint64(c)
	return ^((x&^highs + ^uint64(highs)) | x) & highs
}

// untouched returns the length of the text at the beginning of p that relaxed
// leaves as it is: up to a tab, or to a space before other white space, a CR
// or the end of p.
func untouched(p []byte) int {
	i := 0
	for ; i+9 <= len(p); i += 8 {
		w := binary.LittleEndian.Uint64(p[i:])
		sp, tab := equal(w, ' '), equal(w, '\t')
		if sp|tab == 0 {
			continue
		}
		next := (sp|tab|equal(w, '\r'))>>8 | uint64(mark(p[i+8]))<<56
		if m := tab | sp&next; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for ; i < len(p); i++ {
		if p[i] == '\t' || p[i] == ' ' && (i+1 == len(p) || mark(p[i+1]) != 0) {
			return i
		}
	}
	return i
}

// mark is the bit of equal for a byte before which a space may go.
func mark(c byte) byte {
	if c == ' ' || c == '\t' || c == '\r' {
		return 0x80
	}
	return 0
}
