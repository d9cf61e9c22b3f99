package migrate

import (
	"fmt"
	"net/netip"
	"path"
	"strings"

	"dmarcgate/policy/pattern"
)

// item is an entry of a list.
type item struct {
	text string
	line int // of the file of the list; 0 where the list is a value
}

// values cuts a value at commas and blanks.
func values(value string) []item {
	var out []item
	for _, f := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		out = append(out, item{text: f})
	}
	return out
}

// file reads a list from a file: an item on each line, "#" begins a comment, words
// behind the item are dropped.
func (d *draft) file(p place, name string) []item {
	if d.in.Read == nil {
		d.warn(p, "the file %s is not read", printable(name))
		return nil
	}
	data, err := d.in.Read(name)
	if err != nil {
		d.warn(p, "the file %s is not read: %v", printable(name), err)
		return nil
	}
	var out []item
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			out = append(out, item{words[0], n})
		}
	}
	return out
}

// sorted cuts a list into networks and names. Items that are neither are told.
func (d *draft) sorted(p place, list []item) (nets []netip.Prefix, names []pattern.Domain) {
	if len(list) > maxItems {
		d.warn(p, "%d items are left out: an import reads at most %d of a list", len(list)-maxItems, maxItems)
		list = list[:maxItems]
	}
	var wrong []item
	for _, it := range list {
		if n, ok := network(it.text); ok {
			nets = append(nets, n)
			continue
		}
		name := strings.TrimSuffix(strings.ToLower(it.text), ".")
		name = strings.TrimPrefix(name, "*")
		if parsed, err := pattern.ParseDomain(name); err == nil && (parsed.Kind() == pattern.Exact || parsed.Kind() == pattern.Below) {
			names = append(names, parsed)
			continue
		}
		wrong = append(wrong, it)
	}
	d.wrong(p, wrong, "neither address nor name")
	return nets, names
}

// wrong tells of items that cannot be read, by line where the list is a file.
func (d *draft) wrong(p place, list []item, what string) {
	if len(list) == 0 {
		return
	}
	var at []string
	for _, it := range list[:min(len(list), maxTold)] {
		if it.line > 0 {
			at = append(at, fmt.Sprintf("line %d", it.line))
		} else {
			at = append(at, printable(it.text))
		}
	}
	text := strings.Join(at, ", ")
	if more := len(list) - maxTold; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	d.warn(p, "left out, because %s: %s", what, text)
}

// network reads an address or a network; bits behind the network are cleared.
func network(s string) (netip.Prefix, bool) {
	s = strings.Trim(s, "[]")
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	if n, err := netip.ParsePrefix(s); err == nil && !n.Addr().Is4In6() {
		return n.Masked(), true
	}
	return netip.Prefix{}, false
}

// below joins a path to the directory that it is relative to.
func below(dir, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(dir, name)
}
