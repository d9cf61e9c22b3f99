package wire

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Limits of names without the final dot (RFC 1035, Section 2.3.4).
const (
	maxName  = 253
	maxLabel = 63
)

// Clean returns a name in lower case without the final dot, and false when the
// DNS cannot have it: no label, an empty or long label, too long altogether.
// Any byte may be in a label: names are built from what third parties write.
func Clean(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > maxName {
		return "", false
	}
	for rest, more := name, true; more; {
		var label string
		if label, rest, more = strings.Cut(rest, "."); len(label) < 1 || len(label) > maxLabel {
			return "", false
		}
	}
	return lower(name), true
}

// lower folds ASCII only: other bytes of a name have no case (RFC 4343).
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return lowerCopy(s)
		}
	}
	return s
}

func lowerCopy(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lowerByte(c)
	}
	return string(b)
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// escape writes a clean name as zone file text, which the DNS library takes.
func escape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\%03d`, c)
		}
	}
	return b.String() + "."
}

// host returns a name from a record as clean bytes; the root is ".". It is
// false for a name with a byte that needs an escape, a dot within a label for
// one: no host has such a name (RFC 1123, Section 2.1), and written as plain
// bytes it would be another name.
func host(text string) (string, bool) {
	if text == "" || strings.Contains(text, `\`) {
		return "", false
	}
	if text == "." {
		return text, true
	}
	return Clean(text)
}

// ReverseName returns the name that holds the PTR records of an address.
func ReverseName(ip netip.Addr) (string, bool) {
	name, err := dns.ReverseAddr(ip.Unmap().WithZone("").String())
	if err != nil {
		return "", false
	}
	return Clean(name)
}
