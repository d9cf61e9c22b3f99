package pattern

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
)

// Limits of map files, ours: the longest lists that sites have, the public
// ones of networks among them, stay below a tenth of it.
const (
	MaxMapEntries = 1_000_000
	MaxMapBytes   = 64 << 20

	maxMapProblems = 20
	maxMapItem     = 300 // bytes: more than the longest name with "org:" before it
)

// MapProblem is what is wrong in a line of a map file.
type MapProblem struct {
	Line int // counted from 1; 0 for the file
	Fault
}

// ParseDomainMap reads a map file of domains: on each line one pattern as in a
// rule, "example.org", ".example.org" or "org:example.org". From "#" on a line
// is a comment. name is what rules call the map.
//
// There is a map or at least one problem; after maxMapProblems nobody looks
// for more.
func ParseDomainMap(name string, data []byte) (*DomainMap, []MapProblem) {
	b := newDomainMapBuilder(name, lines(data), len(data))
	if problems := eachItem(data, ParseDomain, b.add); len(problems) > 0 {
		return nil, problems
	}
	return b.finish(), nil
}

// ParseNetMap reads a map file of networks in the same way: on each line
// "192.0.2.0/24", or an address, which is a network of one.
func ParseNetMap(name string, data []byte) (*NetMap, []MapProblem) {
	size6 := min(bytes.Count(data, []byte("::")), MaxMapEntries) // in nearly all networks, and in few comments
	b := newNetMapBuilder(name, lines(data)-min(size6, lines(data)), size6)
	if problems := eachItem(data, parseNetwork, b.add); len(problems) > 0 {
		return nil, problems
	}
	return b.finish(), nil
}

// parseNetwork reads a network or an address. The error is a Fault without a
// key.
func parseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, Fault{Text: fmt.Sprintf("%q is not a network", s), Fix: `write "192.0.2.0/24", "2001:db8::/32" or an address`}
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch {
	case p.Bits() == 0:
		return netip.Prefix{}, Fault{Text: fmt.Sprintf("%q is every host", s), Fix: "name the networks that are meant"}
	case p.Addr().Is4In6():
		return netip.Prefix{}, Fault{Text: fmt.Sprintf("%q is IPv4 in the form of IPv6", s), Fix: "write it as IPv4, as clients are compared"}
	case p != p.Masked():
		return netip.Prefix{}, Fault{Text: fmt.Sprintf("%q has bits set behind the network", s), Fix: fmt.Sprintf("write %q", p.Masked())}
	}
	return p, nil
}

// lines is how many items data can have at most.
func lines(data []byte) int { return min(bytes.Count(data, []byte("\n"))+1, MaxMapEntries) }

// eachItem parses the item of each line that has one, calls add for what it is, and
// returns what is wrong.
func eachItem[T any](data []byte, parse func(string) (T, error), add func(T)) []MapProblem {
	if len(data) > MaxMapBytes {
		return []MapProblem{{Fault: Fault{Text: fmt.Sprintf("has %d bytes, more than %d", len(data), MaxMapBytes), Fix: "write two maps"}}}
	}
	var problems []MapProblem
	line, items := 0, 0
	for text := range bytes.Lines(data) {
		line++
		text, _, _ = bytes.Cut(text, []byte("#"))
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		if items++; items > MaxMapEntries {
			return append(problems, MapProblem{line, Fault{Text: fmt.Sprintf("is item %d; a map has at most %d", items, MaxMapEntries), Fix: "write two maps"}})
		}
		if len(text) > maxMapItem {
			problems = append(problems, MapProblem{line, Fault{Text: fmt.Sprintf("has %d bytes", len(text)), Fix: "write one item on each line"}})
		} else if item, err := parse(string(text)); err != nil {
			problems = append(problems, MapProblem{line, asFault(err)})
		} else {
			add(item)
		}
		if len(problems) == maxMapProblems {
			return problems
		}
	}
	return problems
}

func asFault(err error) Fault {
	var f Fault
	if !errors.As(err, &f) {
		f = Fault{Text: err.Error(), Fix: "fix or remove the line"}
	}
	return f
}
