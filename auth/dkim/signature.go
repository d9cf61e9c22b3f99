package dkim

import (
	"bytes"
	"crypto/sha256"
	"math"
	"strconv"
	"strings"
	"time"

	"dmarcgate/auth/taglist"
	"dmarcgate/message"
	"dmarcgate/scope"
)

// whole is the limit of a signature without l=: the whole body.
const whole = math.MaxInt64

// signature is one DKIM-Signature field, or one of ARC that is made like it.
type signature struct {
	result  Result
	field   int          // its place in the header
	tags    taglist.List // nil when it cannot be read
	refused finding      // why it is not verified

	from, to int // the value of b= in the raw field
	keyName  string
	names    []string // h=, in lower case
	relaxed  bool     // the header's canonicalization
	body     place    // what of the body is hashed
	limited  bool     // by l=
	bh, b    []byte
	key      *key
	near     int // how near d= is to an author domain
}

// place is a point of the canonical body up to which it is hashed.
type place struct {
	relaxed bool
	limit   int64
}

// check evaluates one side of a signature.
type check func(taglist.List) finding

// read reads a DKIM-Signature field and evaluates what can be evaluated without the
// key and the body (RFC 6376, Sections 3.5 and 6.1.1).
func read(f message.Field, at int, now time.Time) *signature {
	s := open(f, at)
	s.check(
		checkVersion, required("a", "b", "bh", "d", "h", "s"), s.readDomain, s.readIdentity, s.readNames,
		checkQuery, s.readCanon, s.readTimes(now), s.readLimit, checkAlgorithm, s.readBodyHash, s.readB,
	)
	return s
}

// open takes a field apart.
func open(f message.Field, at int) *signature {
	s := &signature{field: at}
	if len(f.Raw) > maxField {
		s.refused = finding{Neutral, "signature field too long"}
		return s
	}
	list, ok := taglist.Parse(f.Body(), false)
	if !ok {
		s.refused = permanent("signature cannot be read")
		return s
	}
	if len(f.Raw) > usualField {
		list.Detach()
	}
	s.tags = list
	s.describe(list)
	if b, ok := list.Find("b"); ok {
		start := bytes.IndexByte(f.Raw, ':') + 1
		s.from, s.to = start+b.From, start+b.To
	}
	return s
}

// check asks one after the other, until one refuses the signature.
func (s *signature) check(checks ...check) {
	for _, c := range checks {
		if s.refused.status != None {
			return
		}
		s.refused = c(s.tags)
	}
}

// describe fills what a report wants to know even of a signature that is
// refused.
func (s *signature) describe(list taglist.List) {
	r := &s.result
	if a := strings.ToLower(list.Value("a", "")); isWord(a) {
		r.Algorithm = a
	}
	b := taglist.Compact(list.Value("b", ""))
	if b = b[:min(len(b), shownB)]; isBase64(b) {
		r.B = b
	}
	if d, ok := domain(list.Value("d", "")); ok {
		r.Domain, r.Identity = d, d
	}
	// A selector may have several labels, and only with its domain it is a
	// name (RFC 6376, Section 3.1).
	selector := list.Value("s", "")
	if name, err := message.ParseDomain(selector + "._domainkey." + r.Domain); err == nil && selector != "" && r.Domain != "" {
		r.Selector, s.keyName = selector, name
		if !isASCII(selector) { // shown as it is queried (RFC 8616, Section 5)
			r.Selector = strings.TrimSuffix(name, "._domainkey."+r.Domain)
		}
	}
}

// signed returns the field as it was signed, with the value of b= and the white
// space around it deleted; only the tag b is affected, not other text that has
// "b=" in it (RFC 6376, Section 3.7).
func (s *signature) signed(f message.Field) []byte {
	out := make([]byte, 0, len(f.Raw))
	out = append(out, f.Raw[:s.from]...)
	out = append(out, f.Raw[s.to:]...)
	return bytes.TrimSuffix(out, []byte("\r\n"))
}

func checkVersion(list taglist.List) finding {
	if list.Value("v", "") != "1" {
		return permanent("unknown version of the signature")
	}
	return finding{}
}

// required is false for a signature without one of the tags, or with an empty
// one.
func required(names ...string) check {
	return func(list taglist.List) finding {
		for _, name := range names {
			if list.Value(name, "") == "" {
				return permanent("tag " + name + "= is missing")
			}
		}
		return finding{}
	}
}

// domain returns d= as a domain of two labels or more.
func domain(text string) (string, bool) {
	d, err := message.ParseDomain(text)
	return d, err == nil && strings.IndexByte(d, '.') > 0 && !strings.HasSuffix(text, ".")
}

func (s *signature) readDomain(taglist.List) finding {
	if s.result.Domain == "" {
		return permanent("d= is not a domain")
	}
	if s.keyName == "" {
		return permanent("s= is not a selector")
	}
	return finding{}
}

// readIdentity reads i=, whose domain is that of d= or below it. Names are
// compared by label and without regard to case.
func (s *signature) readIdentity(list taglist.List) finding {
	t, ok := list.Find("i")
	if !ok {
		return finding{}
	}
	text, ok := taglist.Unquote(t.Value)
	at := strings.LastIndexByte(text, '@')
	if !ok || at < 0 {
		return permanent("i= cannot be read")
	}
	id, err := message.ParseDomain(text[at+1:])
	if err != nil {
		return permanent("i= cannot be read")
	}
	if !scope.AtOrBelow(id, s.result.Domain) {
		return permanent("i= is not below d=")
	}
	s.result.Identity = id
	return finding{}
}

// readNames reads h=. From must be in it (RFC 6376, Section 5.4).
func (s *signature) readNames(list taglist.List) finding {
	h := list.Value("h", "")
	if strings.Count(h, ":") >= maxNames {
		return finding{Policy, "too many fields signed"}
	}
	from := false
	s.names = taglist.Split(h)
	for i, name := range s.names {
		if name == "" || strings.ContainsAny(name, " \t\r\n") {
			return permanent("h= cannot be read")
		}
		s.names[i] = lower(name)
		from = from || s.names[i] == "from"
	}
	if !from {
		return permanent("From is not signed")
	}
	return finding{}
}

// checkQuery refuses keys that are not in DNS. Unknown methods beside it do
// not matter.
func checkQuery(list taglist.List) finding {
	if !taglist.HasWord(list.Value("q", "dns/txt"), "dns/txt") {
		return permanent("unknown way to fetch the key")
	}
	return finding{}
}

// readCanon reads c=. A missing second half is simple, also behind "relaxed".
func (s *signature) readCanon(list taglist.List) finding {
	head, body, ok := strings.Cut(lower(list.Value("c", "simple/simple")), "/")
	if !ok {
		body = "simple"
	}
	for _, c := range []string{head, body} {
		if c != "simple" && c != "relaxed" {
			return permanent("unknown canonicalization")
		}
	}
	s.result.Canon = head + "/" + body
	s.relaxed, s.body.relaxed = head == "relaxed", body == "relaxed"
	return finding{}
}

// readTimes reads t= and x=. That a signature has expired depends on when it
// is looked at; a message is looked at when it arrives.
func (s *signature) readTimes(now time.Time) check {
	return func(list taglist.List) finding {
		signed, ok1 := seconds(list, "t")
		expires, ok2 := seconds(list, "x")
		switch {
		case !ok1 || !ok2:
			return permanent("t= or x= is not a time")
		case signed >= 0 && expires >= 0 && expires <= signed:
			return permanent("signature expires before it was made")
		case expires >= 0 && now.Add(-ClockSkew).Unix() > expires:
			return permanent("signature expired")
		case signed >= 0 && now.Add(ClockSkew).Unix() < signed:
			return permanent("signature made in the future")
		}
		if signed >= 0 {
			s.result.SignedAt = time.Unix(signed, 0).UTC()
		}
		return finding{}
	}
}

// seconds reads a time. It is negative without the tag; more than twelve
// digits are endless (RFC 6376, Section 3.5).
func seconds(list taglist.List, name string) (int64, bool) {
	t, ok := list.Find(name)
	if !ok {
		return -1, true
	}
	return number(t.Value, 12)
}

// number reads decimal digits. More of them than counted are endless.
func number(text string, counted int) (int64, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	text = strings.TrimLeft(text, "0")
	if text == "" {
		return 0, true
	}
	if len(text) > counted {
		return math.MaxInt64 - 1, true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// readLimit reads l=, which has up to 76 digits; no body has as many bytes as
// 18 digits count.
func (s *signature) readLimit(list taglist.List) finding {
	s.body.limit = whole
	t, ok := list.Find("l")
	if !ok {
		return finding{}
	}
	s.limited = true
	if s.body.limit, ok = number(t.Value, 18); !ok || len(t.Value) > 76 {
		return permanent("l= is not a number")
	}
	return finding{}
}

// checkAlgorithm refuses SHA-1, which verifies nothing any more (RFC 8301,
// Section 3.1), and what nobody knows.
func checkAlgorithm(list taglist.List) finding {
	switch a := strings.ToLower(list.Value("a", "")); {
	case a == "rsa-sha256" || a == "ed25519-sha256":
		return finding{}
	case a == "rsa-sha1":
		return permanent("SHA-1 is not accepted")
	}
	return permanent("unknown algorithm")
}

func (s *signature) readBodyHash(list taglist.List) finding {
	var ok bool
	switch s.bh, ok = taglist.Decode(list.Value("bh", "")); {
	case !ok:
		return permanent("bh= is not base64")
	case len(s.bh) != sha256.Size:
		return permanent("bh= is not a SHA-256 hash")
	}
	return finding{}
}

func (s *signature) readB(list taglist.List) finding {
	var ok bool
	if s.b, ok = taglist.Decode(list.Value("b", "")); !ok {
		return permanent("b= is not base64")
	}
	return finding{}
}

// isWord reports whether s is made of letters, digits and hyphens.
func isWord(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0
}

// isBase64 reports whether s has the characters of base64 only.
func isBase64(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '+' && s[i] != '/' && s[i] != '=' {
			return false
		}
	}
	return true
}

// lower is in lower case as to ASCII: a field name has no other letters.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			return string(lowerBytes([]byte(s)))
		}
	}
	return s
}

func lowerBytes(b []byte) []byte {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}
