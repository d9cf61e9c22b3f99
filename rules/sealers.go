package rules

import (
	"maps"
	"slices"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// sealing is what a sealer that a rule trusts has sealed.
type sealing struct {
	Sealer   string `json:"sealer"`
	Sealed   int64  `json:"sealed"`   // chains that pass
	Recorded int64  `json:"recorded"` // in how many it recorded a pass for an author domain
}

// sealers counts what the sealers that a rule trusts have sealed.
type sealers struct {
	names map[string]*sealing // by domain; those of suffixes as they come
	below []string            // ".example.org"
}

// maxSealers bounds those that are counted without being named.
const maxSealers = 100

func newSealers(r policy.Rule) *sealers {
	s := &sealers{names: make(map[string]*sealing)}
	add := func(p pattern.Domain) {
		if name := p.String(); strings.HasPrefix(name, ".") {
			s.below = append(s.below, name)
		} else {
			s.names[name] = &sealing{Sealer: name}
		}
	}
	for _, p := range r.Match.ARCPass {
		if m := p.Map(); m == nil {
			add(p)
		} else {
			for p := range m.All() {
				add(p)
			}
		}
	}
	return s
}

// find returns the count of a sealer, nil when it is not trusted.
func (s *sealers) find(domain string) *sealing {
	if n := s.names[domain]; n != nil {
		return n
	}
	if len(s.names) >= maxSealers || !slices.ContainsFunc(s.below, func(b string) bool { return strings.HasSuffix(domain, b) }) {
		return nil
	}
	s.names[domain] = &sealing{Sealer: domain}
	return s.names[domain]
}

// count counts a chain that passes, once for each sealer.
func (s *sealers) count(hops []policy.Sealer) {
	recorded := make(map[*sealing]bool)
	for _, hop := range hops {
		if n := s.find(hop.Domain); n != nil {
			pass := slices.ContainsFunc(hop.Recorded, func(r policy.Recorded) bool { return r.Result == "pass" })
			recorded[n] = recorded[n] || pass
		}
	}
	for n, pass := range recorded {
		n.Sealed++
		if pass {
			n.Recorded++
		}
	}
}

// list returns the counts by name: of a long list, only those that sealed.
func (s *sealers) list() []*sealing {
	var out []*sealing
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		if n := s.names[name]; n.Sealed > 0 || len(s.names) <= maxSealers {
			out = append(out, n)
		}
	}
	return out
}

// seal counts a chain for each rule that trusts one of its sealers.
func (m *meter) seal(f *policy.Facts) {
	if f.ARC.Result != "pass" {
		return
	}
	for _, s := range m.sealers {
		s.count(f.ARC.Sealers)
	}
}
