package dkim

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// What relaxed changes is found eight bytes at a time. Most of a body it leaves
// as it is, and to look at each byte takes as long as to hash it.

// Bytes of a word: each of them one, the highest bit of each, the others.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	lows  = ^uint64(highs)
)

// used marks, with its highest bit, each byte of w that is a tab, or a
// space before a space or control character. Such white space may change; any
// other stays. next is w one byte further on.
func used(w, next uint64) uint64 {
	space, tab := w^ones*' ', w^ones*'\t'
	notSpace := space&lows + lows | space
	notTab := tab&lows + lows | tab
	above := next&lows + ones*(0x7f-' ') | next
	return ^((notSpace | above) & notTab) & highs
}

// block is how much clean looks at in one step.
const block = 32

// clean returns the length of as many whole blocks at the beginning of p as
// certainly have nothing that affected marks.
func clean(p []byte) int {
	n := 0
	for ; n+block < len(p); n += block {
		q := p[n : n+block+1 : n+block+1]
		if (suspect(word(q), word(q[1:]))|suspect(word(q[8:]), word(q[9:]))|
			suspect(word(q[16:]), word(q[17:]))|suspect(word(q[24:]), word(q[25:])))&highs != 0 {
			break
		}
	}
	return n
}

// suspect is zero in the highest bits when affected is. It also marks bytes
// above those that affected marks, and control characters, and so takes half
// the time.
func suspect(w, next uint64) uint64 {
	space := w ^ ones*' '
	return (space-ones)&^space&((next-ones*(' '+1))&^next) | (w-ones*('\t'+1))&^w
}

func word(p []byte) uint64 { return binary.LittleEndian.Uint64(p) }

// blank returns the length of the white space at the beginning of p.
func blank(p []byte) int {
	i := 0
	for i+8 <= len(p) {
		n := bits.TrailingZeros64(word(p[i:])^ones*' ') / 8
		i += n
		if n == 8 {
			continue
		}
		if p[i] != '\t' {
			return i
		}
		i++
	}
	for i < len(p) && (p[i] == ' ' || p[i] == '\t') {
		i++
	}
	return i
}

// bare returns the length of a long text at the beginning of p in which no
// white space is at all, as in an attachment. It is looked for once a part:
// that takes little where there is none.
func bare(p []byte) int {
	n := bytes.IndexByte(p, ' ')
	if n < 0 {
		n = len(p)
	}
	if n < block {
		return 0
	}
	if tab := bytes.IndexByte(p[:n], '\t'); tab >= 0 {
		n = tab
	}
	return n
}
