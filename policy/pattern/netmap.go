package pattern

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"math/bits"
	"net/netip"
	"slices"
	"sort"
)

// NetMap is a long list of networks that rules name as "map:NAME". It does not
// change. The zero value holds none.
//
// A million networks take at most 32 MB, and no memory that the garbage
// collector has to walk through; to look one up allocates nothing.
type NetMap struct {
	Name string // as rules write it
	Sum  string // 12 hexadecimal digits of the addresses it holds, however they were written

	n      int
	v4, v6 []span // sorted, and none affects another
	widest [2]netip.Prefix
}

// NewNetMap makes a map of networks. Those that are not valid are left out.
func NewNetMap(name string, items []netip.Prefix) *NetMap {
	size6 := 0
	for _, p := range items {
		if p.Addr().Is6() {
			size6++
		}
	}
	b := newNetMapBuilder(name, len(items)-size6, size6)
	for _, p := range items {
		if p.IsValid() {
			b.add(p)
		}
	}
	return b.finish()
}

// Len returns how many networks m was made of.
func (m *NetMap) Len() int { return m.n }

// Widest returns the widest network of IPv4 and the widest of IPv6, as far as m
// has any.
func (m *NetMap) Widest() []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(m.widest[:]), func(p netip.Prefix) bool { return !p.IsValid() })
}

// Pattern returns the pattern that holds what m does.
func (m *NetMap) Pattern() Network { return Network{list: m} }

// Holds reports whether an address, without zone and not in IPv6 form, is in
// one of the networks.
func (m *NetMap) Holds(a netip.Addr) bool {
	return a.IsValid() && m.Covers(netip.PrefixFrom(a, a.BitLen()))
}

// Covers reports whether every address of a network is in m.
func (m *NetMap) Covers(p netip.Prefix) bool {
	s := spanOf(p)
	first, ok := m.reaching(p, s)
	return ok && !s.first.less(first.first) && !first.last.less(s.last)
}

// Overlaps reports whether at least one address of a network is in m.
func (m *NetMap) Overlaps(p netip.Prefix) bool {
	s := spanOf(p)
	first, ok := m.reaching(p, s)
	return ok && !s.last.less(first.first)
}

// reaching returns the first span of the family of p that does not end before
// s, which are the addresses of p.
func (m *NetMap) reaching(p netip.Prefix, s span) (first span, ok bool) {
	list := m.v6
	if p.Addr().Is4() {
		list = m.v4
	}
	i := sort.Search(len(list), func(i int) bool { return !list[i].last.less(s.first) })
	if i == len(list) {
		return span{}, false
	}
	return list[i], true
}

// Spans returns the first and the last address of each piece of m without a gap, in
// order: those of IPv4 first.
func (m *NetMap) Spans() iter.Seq2[netip.Addr, netip.Addr] {
	return func(yield func(first, last netip.Addr) bool) {
		for _, s := range m.v4 {
			if !yield(s.first.addr().Unmap(), s.last.addr().Unmap()) {
				return
			}
		}
		for _, s := range m.v6 {
			if !yield(s.first.addr(), s.last.addr()) {
				return
			}
		}
	}
}

// siteBits is the length of the networks of IPv6 that sites get (RFC 6177,
// Section 2).
const siteBits = 48

// Size returns how many addresses of IPv4 are in m, and how many networks /48
// of IPv6, whole or in part: each once.
func (m *NetMap) Size() (addresses4, sites6 uint64) {
	for _, s := range m.v4 {
		addresses4 += s.last.lo - s.first.lo + 1
	}
	for _, s := range m.v6 {
		sites6 += s.last.hi>>(64-siteBits) - s.first.hi>>(64-siteBits) + 1
	}
	return addresses4, sites6
}

// JoinNetMaps returns a map of the addresses of all maps.
func JoinNetMaps(name string, maps ...*NetMap) *NetMap {
	b := newNetMapBuilder(name, 0, 0)
	for _, m := range maps {
		b.m.v4, b.m.v6 = append(b.m.v4, m.v4...), append(b.m.v6, m.v6...)
		b.m.n += m.n
		for _, p := range m.Widest() {
			b.widen(p)
		}
	}
	return b.finish()
}

// number is an address as one.
type number struct{ hi, lo uint64 }

func (a number) less(b number) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// next returns the number behind a, and whether there is one.
func (a number) next() (number, bool) {
	lo, carry := bits.Add64(a.lo, 1, 0)
	hi, over := bits.Add64(a.hi, 0, carry)
	return number{hi, lo}, over == 0
}

// addr returns the address that a is, of IPv6.
func (a number) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b)
}

// span is the addresses from first to last.
type span struct{ first, last number }

// spanOf returns the addresses of a network, those of IPv4 as IPv6 has them.
func spanOf(p netip.Prefix) span {
	b := p.Addr().As16()
	a := number{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	ones := p.Bits() + 128 - p.Addr().BitLen()
	var host number // the bits behind the network
	switch {
	case ones < 64:
		host = number{1<<(64-ones) - 1, ^uint64(0)}
	case ones < 128:
		host.lo = 1<<(128-ones) - 1
	}
	if ones == 0 {
		host.hi = ^uint64(0)
	}
	return span{number{a.hi &^ host.hi, a.lo &^ host.lo}, number{a.hi | host.hi, a.lo | host.lo}}
}

type netMapBuilder struct{ m *NetMap }

// newNetMapBuilder makes room for so many networks of IPv4 and of IPv6.
func newNetMapBuilder(name string, size4, size6 int) *netMapBuilder {
	return &netMapBuilder{m: &NetMap{Name: name, v4: make([]span, 0, size4), v6: make([]span, 0, size6)}}
}

func (b *netMapBuilder) add(p netip.Prefix) {
	list := &b.m.v6
	if p.Addr().Is4() {
		list = &b.m.v4
	}
	*list = append(*list, spanOf(p))
	b.m.n++
	b.widen(p)
}

// widen notes p if it is the widest network so far.
func (b *netMapBuilder) widen(p netip.Prefix) {
	widest := &b.m.widest[1]
	if p.Addr().Is4() {
		widest = &b.m.widest[0]
	}
	if !widest.IsValid() || p.Bits() < widest.Bits() {
		*widest = p
	}
}

func (b *netMapBuilder) finish() *NetMap {
	b.m.v4, b.m.v6 = joined(b.m.v4), joined(b.m.v6)
	h := sha256.New()
	var text []byte
	for _, list := range [][]span{b.m.v4, b.m.v6} {
		text = binary.BigEndian.AppendUint64(text[:0], uint64(len(list)))
		h.Write(text)
		for _, s := range list {
			text = binary.BigEndian.AppendUint64(text[:0], s.first.hi)
			for _, part := range []uint64{s.first.lo, s.last.hi, s.last.lo} {
				text = binary.BigEndian.AppendUint64(text, part)
			}
			h.Write(text)
		}
	}
	b.m.Sum = hex.EncodeToString(h.Sum(nil)[:6])
	return b.m
}

// joined sorts list in its place and joins what overlaps or affects.
func joined(list []span) []span {
	slices.SortFunc(list, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.first.hi, b.first.hi), cmp.Compare(a.first.lo, b.first.lo))
	})
	out := list[:0]
	for _, s := range list {
		if len(out) == 0 || !out[len(out)-1].join(s) {
			out = append(out, s)
		}
	}
	return fitted(out)
}

// join adds b, which does not begin before a, if nothing is between them.
func (a *span) join(b span) bool {
	if next, ok := a.last.next(); ok && next.less(b.first) {
		return false
	}
	if a.last.less(b.last) {
		a.last = b.last
	}
	return true
}
