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
type sketch []uint64

func sketchOf(m *policy.Match) (s sketch) {
	for _, k := range keys {
		switch v := of(m, k.field).Interface().(type) {
		case []pattern.Domain:
			if !k.denies {
				s = append(s, bitsFor(v, orgOf))
			}
		case []pattern.Network:
			if !k.denies {
				s = append(s, bitsFor(v, siteOf))
			}
		}
	}
	return s
}

// orgOf returns the organization that has every name of p, "" where there is none.
func orgOf(p pattern.Domain) string {
	if p.Map() != nil {
		return ""
	}
	return dmarc.PublicSuffix().Org(p.Name())
}

// siteOf returns a network that has all of n, "" where there is none.
func siteOf(n pattern.Network) string {
	p, ok := n.Prefix()
	if !ok || anchors.tooWide(p) {
		return ""
	}
	p, _ = p.Addr().Prefix(anchors.bits(p))
	return p.String()
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
func (m *asked) apart(other *asked) bool {
	for i, bits := range m.sketch {
		if bits&other.sketch[i] == 0 {
			return true
		}
	}
	return false
}
