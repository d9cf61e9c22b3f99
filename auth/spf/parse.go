package spf

import (
	"net/netip"
	"strings"
)

// defect says in words of ours what is wrong with a term; empty: nothing.
type defect string

const (
	foreignByte      defect = "a character that is not printable ASCII"
	unknownMechanism defect = "unknown mechanism"
	unwantedArgument defect = "an argument that the mechanism does not take"
	badNetwork       defect = "bad IP address"
	badPrefix        defect = "bad prefix length"
	badDomain        defect = "bad domain"
	badMacro         defect = "bad macro"
	modifierTwice    defect = "the same modifier twice"
)

// parse reads a record that isRecord accepted. Every term is checked before
// any is evaluated: an error anywhere is a permerror, also behind a term that
// would match (RFC 7208, Section 4.6). The failure has the first bad term.
func parse(txt string) (record, *failure) {
	rec := record{published: true}
	for rest := txt[len(version):]; rest != ""; {
		var word string
		// Terms are separated by spaces, and by nothing else.
		word, rest, _ = strings.Cut(rest, " ")
		if word == "" {
			continue
		}
		if d := rec.add(word); d != "" {
			return record{}, &failure{status: PermError, term: word, why: "syntax error: " + string(d)}
		}
	}
	return rec, nil
}

// add checks one term and adds it.
func (rec *record) add(word string) defect {
	if !visible(word) {
		return foreignByte
	}
	if n := nameLength(word); n > 0 && n < len(word) && word[n] == '=' {
		return rec.modifier(word[:n], word[n+1:])
	}
	t, d := directive(word)
	rec.terms = append(rec.terms, t)
	return d
}

// nameLength returns the length of the modifier name that s begins with.
func nameLength(s string) int {
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && (i == 0 || !isDigit(c) && c != '-' && c != '_' && c != '.') {
			return i
		}
	}
	return len(s)
}

// modifier checks a modifier (RFC 7208, Section 6). Unknown ones do nothing,
// but their macros must be right.
func (rec *record) modifier(name, value string) defect {
	var known *string
	switch {
	case strings.EqualFold(name, "redirect"):
		known = &rec.redirect
	case strings.EqualFold(name, "exp"):
		known = &rec.exp
	default:
		_, d := checkMacros(value, lettersOfText)
		return d
	}
	if *known != "" {
		return modifierTwice
	}
	*known = value
	return checkDomainSpec(value)
}

// directive reads a mechanism with its qualifier.
func directive(word string) (term, defect) {
	t := term{text: word, result: Pass}
	rest := word
	if q := strings.IndexByte("+-~?", word[0]); q >= 0 {
		t.result = [...]Status{Pass, Fail, SoftFail, Neutral}[q]
		rest = word[1:]
	}
	name, arg := rest, ""
	if i := strings.IndexAny(rest, ":/"); i >= 0 {
		name, arg = rest[:i], rest[i:]
	}
	t.mechanism = mechanismOf(name)
	return t, t.argument(arg)
}

// argument reads what follows the name of a mechanism, with its ":" or "/".
func (t *term) argument(arg string) defect {
	switch t.mechanism {
	case unknown:
		return unknownMechanism
	case mAll:
		if arg != "" {
			return unwantedArgument
		}
		return ""
	case mIP4, mIP6:
		return t.readNetwork(arg)
	case mA, mMX:
		var d defect
		if arg, d = t.cutPrefixes(arg); d != "" {
			return d
		}
	}
	if arg == "" && (t.mechanism == mA || t.mechanism == mMX || t.mechanism == mPTR) {
		return ""
	}
	spec, ok := strings.CutPrefix(arg, ":")
	if !ok {
		return badDomain
	}
	t.domain = spec
	return checkDomainSpec(spec)
}

// readNetwork reads the argument of ip4 or ip6 (RFC 7208, Section 5.6).
func (t *term) readNetwork(arg string) defect {
	text, length, hasLength := strings.Cut(strings.TrimPrefix(arg, ":"), "/")
	addr, err := netip.ParseAddr(text)
	if err != nil || arg[0] != ':' || addr.Zone() != "" || addr.Is4() != (t.mechanism == mIP4) {
		return badNetwork
	}
	bits := addr.BitLen()
	if hasLength {
		var ok bool
		if bits, ok = prefixLength(length, bits); !ok {
			return badPrefix
		}
	}
	t.network = netip.PrefixFrom(addr, bits)
	return ""
}

// cutPrefixes reads the dual-cidr-length that ends the argument of a and mx,
// and returns what stands before it. A domain may have a "/" too: only digits
// at the end are a length.
func (t *term) cutPrefixes(arg string) (string, defect) {
	bits4, bits6 := 32, 128
	ok4, ok6 := true, true
	if rest, digits := cutDigits(arg); digits != "" && strings.HasSuffix(rest, "//") {
		bits6, ok6 = prefixLength(digits, 128)
		arg = strings.TrimSuffix(rest, "//")
	}
	if rest, digits := cutDigits(arg); digits != "" && strings.HasSuffix(rest, "/") {
		bits4, ok4 = prefixLength(digits, 32)
		arg = strings.TrimSuffix(rest, "/")
	}
	t.bits4, t.bits6 = uint8(bits4), uint8(bits6)
	if !ok4 || !ok6 {
		return "", badPrefix
	}
	return arg, ""
}

// cutDigits parts s before the digits that end it.
func cutDigits(s string) (rest, digits string) {
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	return s[:i], s[i:]
}

// prefixLength reads a number of at most three digits, up to limit, without a
// leading zero.
func prefixLength(s string, limit int) (int, bool) {
	n := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
		if n > limit {
			return 0, false
		}
	}
	return n, s != "" && (s[0] != '0' || s == "0")
}

// checkDomainSpec checks a domain-spec (RFC 7208, Section 7.1): it ends in a
// macro or in a top-level label, which is not all digits. So "a:192.0.2.1",
// which is often published, is an error.
func checkDomainSpec(s string) defect {
	tail, d := checkMacros(s, lettersOfTerms)
	switch {
	case d != "":
		return d
	case s == "":
		return badDomain
	case tail == "": // ends in a macro
		return ""
	}
	tail = strings.TrimSuffix(tail, ".")
	dot := strings.LastIndexByte(tail, '.')
	if dot < 0 || !isTopLabel(tail[dot+1:]) {
		return badDomain
	}
	return ""
}

// isTopLabel reports whether s is a toplabel of RFC 7208, Section 7.1.
func isTopLabel(s string) bool {
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			digits++
		case !isLetter(c) && c != '-':
			return false
		}
	}
	return digits < len(s) && s[0] != '-' && s[len(s)-1] != '-'
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// visible reports whether s is of printable ASCII without spaces.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
