package pattern

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"iter"
	"slices"
)

// DomainMap is a long list of domains that rules name as "map:NAME". It does
// not change. The zero value holds none.
//
// A million names take about 40 MB, and no memory that the garbage collector
// has to walk through; to look one up allocates nothing.
type DomainMap struct {
	Name string // as rules write it
	Sum  string // 12 hexadecimal digits of what it holds, in whatever order it was written

	sets [Listed]nameSet // by the kind of pattern
}

// NewDomainMap makes a map of patterns. Those that are none or maps themselves
// are left out.
func NewDomainMap(name string, items []Domain) *DomainMap {
	b := newDomainMapBuilder(name, len(items), 0)
	for _, p := range items {
		if p.kind != None && p.kind != Listed {
			b.add(p)
		}
	}
	return b.finish()
}

// Len returns how many different patterns m has.
func (m *DomainMap) Len() int {
	n := 0
	for i := range m.sets {
		n += m.sets[i].len()
	}
	return n
}

// All returns every pattern of m, in no order that means anything.
func (m *DomainMap) All() iter.Seq[Domain] { return m.ofKinds(0, Listed) }

// Below returns the patterns of m that hold more than one domain whatever
// their organization is: those of the form ".example.org".
func (m *DomainMap) Below() iter.Seq[Domain] { return m.ofKinds(Below, Below+1) }

func (m *DomainMap) ofKinds(from, to Kind) iter.Seq[Domain] {
	return func(yield func(Domain) bool) {
		for kind := from; kind < to; kind++ {
			for i := range m.sets[kind].len() {
				if !yield(Domain{kind: kind, domain: m.sets[kind].at(i)}) {
					return
				}
			}
		}
	}
}

// HasBelow reports whether Below returns any.
func (m *DomainMap) HasBelow() bool { return m.sets[Below].len() > 0 }

// Pattern returns the pattern that holds what m does.
func (m *DomainMap) Pattern() Domain { return Domain{kind: Listed, domain: m.Name, list: m} }

// Has reports whether p itself is one of the patterns of m.
func (m *DomainMap) Has(p Domain) bool {
	return p.kind != None && p.kind != Listed && m.sets[p.kind].has(p.domain)
}

// HasOrgs reports whether m has patterns of the form "org:example.org", which
// only keys about author domains can use.
func (m *DomainMap) HasOrgs() bool { return m.sets[Organization].len() > 0 }

// Holds is Domain.Holds for all patterns of m together.
func (m *DomainMap) Holds(domain, org string) bool {
	if m.sets[Exact].has(domain) {
		return true
	}
	if s := &m.sets[Organization]; s.len() > 0 && s.has(cmp.Or(org, domain)) {
		return true
	}
	if s := &m.sets[Below]; s.len() > 0 {
		for name := range Above(domain) {
			if s.has(name) {
				return true
			}
		}
	}
	return false
}

type domainMapBuilder struct {
	m   *DomainMap
	sum setSum
}

// newDomainMapBuilder makes room for so many exact domains, which is what long
// lists have, and for their text.
func newDomainMapBuilder(name string, size, text int) *domainMapBuilder {
	b := &domainMapBuilder{m: &DomainMap{Name: name}}
	seed := maphash.MakeSeed()
	for i := range b.m.sets {
		b.m.sets[i].seed = seed
	}
	set := &b.m.sets[Exact]
	set.grow(size)
	set.ends, set.text = make([]uint32, 0, size), make([]byte, 0, text)
	return b
}

func (b *domainMapBuilder) add(p Domain) {
	if b.m.sets[p.kind].add(p.domain) {
		b.sum.add(forms[p.kind], p.domain)
	}
}

func (b *domainMapBuilder) finish() *DomainMap {
	for i := range b.m.sets {
		s := &b.m.sets[i]
		s.ends, s.text = fitted(s.ends), fitted(s.text)
	}
	b.m.Sum = b.sum.String()
	return b.m
}

// nameSet is a set of names in three pieces of memory without pointers: the
// text of all of them, where each ends, and a hash table of their numbers. The
// zero value, with a seed, is empty.
type nameSet struct {
	seed  maphash.Seed
	text  []byte
	ends  []uint32
	slots []uint32 // open addressing, a power of two of them, at most 3/4 taken; number + 1
}

func (s *nameSet) len() int { return len(s.ends) }

func (s *nameSet) at(i int) string { return string(s.bytes(i)) }

func (s *nameSet) bytes(i int) []byte {
	begin := uint32(0)
	if i > 0 {
		begin = s.ends[i-1]
	}
	return s.text[begin:s.ends[i]]
}

func (s *nameSet) has(name string) bool {
	return len(s.slots) > 0 && s.slots[s.slot(name)] != 0
}

// slot returns where name is, or would be.
func (s *nameSet) slot(name string) int {
	mask := len(s.slots) - 1
	i := int(maphash.String(s.seed, name)) & mask
	for s.slots[i] != 0 && string(s.bytes(int(s.slots[i]-1))) != name {
		i = (i + 1) & mask
	}
	return i
}

// add reports whether name was not there before.
func (s *nameSet) add(name string) bool {
	s.grow(s.len() + 1)
	i := s.slot(name)
	if s.slots[i] != 0 {
		return false
	}
	s.text = append(s.text, name...)
	s.ends = append(s.ends, uint32(len(s.text))) // MaxMapBytes is far below
	s.slots[i] = uint32(len(s.ends))
	return true
}

// grow makes the table large enough for n names.
func (s *nameSet) grow(n int) {
	size := max(8, len(s.slots))
	for n > size/4*3 {
		size *= 2
	}
	if size == len(s.slots) {
		return
	}
	s.slots = make([]uint32, size)
	for i := range s.ends {
		s.slots[s.slot(s.at(i))] = uint32(i + 1)
	}
}

// fitted returns list without much room behind it.
func fitted[T any](list []T) []T {
	if cap(list)-len(list) > len(list)/4 {
		return slices.Clone(list)
	}
	return list
}

// setSum is the sum of a set, in which order means nothing: hashes of its
// items are added. Each item may be added once.
type setSum struct {
	n   uint64
	sum [4]uint64
	buf []byte
}

// add adds an item of two parts.
func (s *setSum) add(form, item string) {
	s.buf = append(append(s.buf[:0], form...), item...)
	h := sha256.Sum256(s.buf)
	for i := range s.sum {
		s.sum[i] += binary.BigEndian.Uint64(h[8*i:])
	}
	s.n++
}

// String returns 12 hexadecimal digits.
func (s *setSum) String() string {
	text := binary.BigEndian.AppendUint64(nil, s.n)
	for _, part := range s.sum {
		text = binary.BigEndian.AppendUint64(text, part)
	}
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:6])
}
