package lint

import (
	"hash/crc32"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// sketch has bits for the organizations and networks that a match asks for, key by
// key, so that most of the pairs of rules that have no message in common are passed
// over at once.
type sketch [len(lists) + 1]uint64

func sketchOf(m *policy.Match) (s sketch) {
	for i, k := range lists {
		s[i] = bitsFor(*k.yes(m), func(p pattern.Domain) string {
			if p.Map() != nil {
				return ""
			}
			return dmarc.PublicSuffix().Org(p.Name())
		})
	}
	s[len(lists)] = bitsFor(m.Client, func(n pattern.Network) string {
		p, ok := n.Prefix()
		if !ok || wider(p, widest4, widest6) {
			return ""
		}
		p, _ = p.Addr().Prefix(bitsOf(p, widest4, widest6))
		return p.String()
	})
	return s
}

// bitsFor returns a bit for each place of an item, and all bits for a place "", which
// is everywhere, and for a key that is not there.
func bitsFor[T any](list []T, place func(T) string) uint64 {
	const all = ^uint64(0)
	if list == nil {
		return all
	}
	var bits uint64
	for i := 0; i < len(list) && bits != all; i++ {
		name := place(list[i])
		if name == "" {
			return all
		}
		bits |= 1 << (crc32.ChecksumIEEE([]byte(name)) % 64)
	}
	return bits
}

// apart reports whether no name or no address is in one key of both.
func (s sketch) apart(other sketch) bool {
	for i := range s {
		if s[i]&other[i] == 0 {
			return true
		}
	}
	return false
}
