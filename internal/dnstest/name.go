package dnstest

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// canonical returns a name of zone text in the one spelling that is used for
// keys: lower case, with the final dot and uniform escapes. Text that is no
// name comes back as it is.
func canonical(text string) string {
	var wire [256]byte
	end, err := dns.PackDomainName(dns.Fqdn(text), wire[:], 0, nil, false)
	if err != nil {
		return text
	}
	name, _, err := dns.UnpackDomainName(wire[:end], 0)
	if err != nil {
		return text
	}
	return strings.Map(lower, name)
}

func lower(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// fromBytes returns the canonical form of a name given as plain dotted bytes,
// and false when the DNS cannot have that name.
func fromBytes(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return "", false
	}
	var b strings.Builder
	for label := range strings.SplitSeq(name, ".") {
		if len(label) < 1 || len(label) > 63 {
			return "", false
		}
		for _, c := range []byte(label) {
			fmt.Fprintf(&b, `\%03d`, c)
		}
		b.WriteByte('.')
	}
	return canonical(b.String()), true
}

// parent returns the name without its first label.
func parent(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end || next >= len(name) {
		return "."
	}
	return name[next:]
}
