package message

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	maxDomain = 253 // bytes without the final dot (RFC 1035, Section 2.3.4)
	maxLabel  = 63  // the same

	// maxDomainText bounds a name before conversion: 253 bytes of A-labels are
	// far fewer than this many bytes of U-labels.
	maxDomainText = 1024
)

var (
	errEmpty    = errors.New("no domain")
	errLiteral  = errors.New("an address instead of a domain")
	errTooLong  = errors.New("domain or label too long")
	errNotAName = errors.New("not a domain name")
)

// toASCII maps as mail readers and resolvers do before a lookup (UTS 46).
// StrictDomainName is off for the underscore, which the profile idna.Lookup
// refuses and DNS does not; checkName then refuses all the rest.
var toASCII = idna.New(idna.MapForLookup(), idna.StrictDomainName(false), idna.BidiRule())

// ParseDomain returns s as lower-case A-labels without a final dot (RFC 9989,
// Section 5.3.1; RFC 8616, Section 6). A name of one label is a name. Labels
// are letters, digits, hyphens and underscores. Errors are permanent: s is
// empty, too long, an address literal or IPv4 address, no name, or has U-labels
// that cannot be converted. ASCII labels beginning "xn--" are taken as they
// are: what IDNA thinks of them does not matter to DNS.
func ParseDomain(s string) (string, error) {
	if s == "" || s == "." {
		return "", errEmpty
	}
	if len(s) > maxDomainText {
		return "", errTooLong
	}
	name := s
	if !isASCII(s) {
		if !utf8.ValidString(s) {
			return "", errNotAName
		}
		var err error
		if name, err = toASCII.ToASCII(s); err != nil {
			return "", errNotAName
		}
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if err := checkName(name); err != nil {
		return "", err
	}
	return name, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// checkName reports what keeps the lower-case s from being a name.
func checkName(s string) error {
	if len(s) > maxDomain {
		return errTooLong
	}
	if strings.HasPrefix(s, "[") {
		return errLiteral
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" {
			return errNotAName
		}
		if len(label) > maxLabel {
			return errTooLong
		}
		for i := range len(label) {
			if !isNameByte(label[i]) {
				return errNotAName
			}
		}
	}
	// "192.0.2.1" has the form of a name, but no top-level domain is a number.
	if c := s[0]; c >= '0' && c <= '9' {
		if _, err := netip.ParseAddr(s); err == nil {
			return errLiteral
		}
	}
	return nil
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// AddressDomain returns the domain of an envelope address, as [ParseDomain]
// gives it: what follows the last "@" that is neither quoted nor escaped.
// Angle brackets and a source route (RFC 5321, Appendix C) are ignored. It is
// false for the null path, for an address without a domain, and for a domain
// that cannot be parsed.
func AddressDomain(addr string) (string, bool) {
	addr = strings.Trim(addr, " \t")
	addr = strings.TrimSuffix(strings.TrimPrefix(addr, "<"), ">")
	if strings.HasPrefix(addr, "@") {
		_, addr, _ = strings.Cut(addr, ":")
	}
	at := lastAt(addr)
	if at < 0 {
		return "", false
	}
	domain, err := ParseDomain(addr[at+1:])
	return domain, err == nil
}

// lastAt returns the index of the last "@" of s that is neither in a
// quoted-string nor behind a backslash, or -1.
func lastAt(s string) int {
	at, quoted := -1, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '@' && !quoted:
			at = i
		}
	}
	return at
}
