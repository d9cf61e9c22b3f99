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
}

func newDigest(limits []int64) *digest {
	slices.Sort(limits)
	return &digest{hash: sha256.New(), limits: slices.Compact(limits), sums: make(map[int64][]byte, len(limits)+1)}
}

// write hashes p and stops at the limits within it.
func (d *digest) write(p []byte) {
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
	d.write(nil)
	d.sums[whole] = d.hash.Sum(nil)
	return d
}

// crlfs is what held line ends are written from.
var crlfs = bytes.Repeat([]byte("\r\n"), 512)

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
//
// Text in which nothing changes is found in blocks (scan.go); what there is
// between runs of white space is collected, so that hashing is in bulk.
type relaxed struct {
	lines simple
	wsp   bool // within a run of white space that is not written yet
	cr    bool // and behind it a CR, of which the LF may be missing
	used  int  // of buf
	buf   [collected]byte
}

// collected is how much is hashed at once. It fits the first-level cache
// beside the part that is read.
const collected = 2 << 10

func (r *relaxed) write(p []byte) {
	if len(p) == 0 {
		return
	}
	if r.cr {
		r.cr, r.wsp = false, false
		if p[0] != '\n' {
			r.put(' ')
		}
		r.put('\r')
	}
	if !r.wsp {
		n := bare(p)
		r.add(p[:n])
		p = p[n:]
	}
	for {
		if r.wsp {
			if p = r.run(p); r.wsp {
				return // the run goes on in the next part
			}
		}
		if p = r.text(p); len(p) == 0 {
			return
		}
		r.wsp = true
	}
}

// text adds what stands at the beginning of p and is left as it is, and
// returns the rest: it begins with white space that may change, or is empty.
func (r *relaxed) text(p []byte) []byte {
	for len(p) > block {
		out := r.room(block)
		for at := 0; at < block; at += 8 {
			w := word(p[at:])
			binary.LittleEndian.PutUint64(out[at:], w)
			if m := used(w, word(p[at+1:])); m != 0 {
				at += bits.TrailingZeros64(m) / 8
				r.used += at
				return p[at:]
			}
		}
		r.used += block
		p = p[block:]
		n := clean(p)
		r.add(p[:n])
		p = p[n:]
	}
	for i, c := range p {
		if c == '\t' || c == ' ' && (i+1 == len(p) || p[i+1] <= ' ') {
			r.add(p[:i])
			return p[i:]
		}
	}
	r.add(p)
	return nil
}

// run leaves the run of white space in which p begins and returns the text
// behind it. Unless a line ends there, one space is added for the run. The run
// may go on in the next part; then nothing is left.
func (r *relaxed) run(p []byte) []byte {
	p = p[blank(p):]
	switch {
	case len(p) == 0:
		return nil
	case len(p) == 1 && p[0] == '\r':
		r.cr = true
		return nil
	}
	r.wsp = false
	if p[0] != '\r' || p[1] != '\n' {
		r.put(' ')
	}
	return p
}

// room returns free space of at least n bytes.
func (r *relaxed) room(n int) []byte {
	if len(r.buf)-r.used < n {
		r.flush()
	}
	return r.buf[r.used:]
}

// put adds one byte.
func (r *relaxed) put(c byte) {
	r.room(1)[0] = c
	r.used++
}

// add adds p. Much at once is not collected.
func (r *relaxed) add(p []byte) {
	if len(p) > len(r.buf)/4 {
		r.flush()
		r.lines.write(p)
		return
	}
	r.used += copy(r.room(len(p)), p)
}

func (r *relaxed) flush() {
	r.lines.write(r.buf[:r.used])
	r.used = 0
}

// close ends the body.
func (r *relaxed) close() *digest {
	if r.cr { // a CR without LF: text
		r.put(' ')
		r.put('\r')
	}
	r.flush()
	if r.lines.any || r.lines.cr {
		return r.lines.close()
	}
	return r.lines.out.finish()
}
