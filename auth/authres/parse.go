package authres

import "strings"

// Parse reads the body of a received Authentication-Results field (RFC 8601,
// Section 2.2): what stands after the colon, folds included. It also reads
// what follows "i=N;" in an ARC-Authentication-Results field (RFC 8617, Section
// 4.1.1). Whether to believe any of it is the caller's to know.
//
// An error is permanent: the id cannot be read, the version is not 1, the field
// is longer than MaxField or has a line break that is no fold.
//
// A result that cannot be read is passed over, up to the next ";" outside
// quotes and comments, and hides no other; behind a quote or comment without
// end there is none. Of a result that is read nothing was guessed. These are
// read beyond the grammar, because they are everywhere: a ";" at the end,
// base64 and IPv6 addresses without quotes, names with "_", reason behind
// properties, and clauses without a type ("action=none", Microsoft), which are
// left out. So are properties without a value.
//
// Names and result words are in lower case. Texts have neither line breaks nor
// other control characters, but may be UTF-8; domains are as written.
func Parse(body string) (Field, error) {
	if len(body) > MaxField {
		return Field{}, errLong
	}
	s, err := open(body)
	if err != nil {
		return Field{}, err
	}
	return s.field(), nil
}

// field reads the results.
func (s *scanner) field() Field {
	f := Field{ID: s.author}
	for s.take(';') {
		s.bad = false
		s.space()
		if s.atEnd() && !s.bad { // nothing between two ";"
			continue
		}
		r, ok := Result{}, len(f.Results) < MaxResults
		if ok {
			r, ok = s.result()
		}
		if !s.toEnd() || !ok {
			f.Skipped++
		} else if r.Method != "" {
			f.Results = append(f.Results, r)
		}
	}
	return f
}

// toEnd goes to the end of a result. It is false if there was something left.
func (s *scanner) toEnd() bool {
	clean := s.atEnd()
	for !s.atEnd() {
		switch s.peek() {
		case '(':
			s.nested()
		case '"':
			s.quoted()
		default:
			s.pos++
		}
	}
	return clean && !s.bad
}

// result reads a resinfo. It is false at the first thing that it cannot read,
// and for a method of another version (RFC 8601, Section 2.6). For the word
// "none" the Result has no method.
func (s *scanner) result() (r Result, ok bool) {
	r.Method = s.keyword()
	s.space()
	if r.Method == "none" && s.atEnd() {
		return Result{}, true
	}
	if s.take('/') {
		s.space()
		s.version()
		s.space()
	}
	if s.bad || !s.take('=') {
		return r, false
	}
	s.space()
	r.Value = s.keyword()
	s.space()
	r.Comment = text(unescape(s.comment))
	for !s.atEnd() {
		if !s.clause(&r) {
			return r, false
		}
		s.space()
	}
	return r, fits(r.Method) && fits(r.Value)
}

// clause reads a reasonspec or a propspec.
func (s *scanner) clause(r *Result) bool {
	ptype, typed := "", false
	name := s.keyword()
	s.space()
	if s.take('.') {
		s.space()
		ptype, typed = name, true
		name = s.keyword()
		s.space()
	}
	if name == "" || typed && ptype == "" || !s.take('=') {
		return false
	}
	s.space()
	value, ok := s.value()
	switch {
	case !ok:
		return false
	case typed && fits(ptype) && fits(name) && value != "" && len(value) <= MaxValue:
		if len(r.Properties) < MaxProperties {
			r.Properties = append(r.Properties, Property{ptype, name, legible(value)})
		}
	case !typed && name == "reason":
		r.Reason = text(value)
	}
	return true
}

// keyword reads a name, in lower case.
func (s *scanner) keyword() string {
	return strings.ToLower(s.run(func(c byte) bool { return isAlnum(c) || c == '-' || c == '_' }))
}

func fits(keyword string) bool { return keyword != "" && len(keyword) <= MaxKeyword }

// value reads a pvalue. An address with a quoted local-part keeps its quotes.
func (s *scanner) value() (string, bool) {
	start := s.pos
	if s.peek() == '"' {
		if raw := s.quoted(); s.bad || s.peek() != '@' {
			return unescape(raw), !s.bad
		}
	}
	s.run(isValueByte)
	v := s.text[start:s.pos]
	switch s.peek() {
	case 0, ';', ' ', '\t', '(':
	default:
		return "", false
	}
	// After "smtp.mailfrom=" without a value the next property would be taken
	// for it. Base64 has "=" at its end only, and an address has an "@".
	inner := strings.IndexByte(strings.TrimRight(v, "="), '=') >= 0
	return v, !inner || strings.IndexByte(v, '@') >= 0
}

// isValueByte has more than a token: addresses, base64, IPv6, UTF-8.
func isValueByte(c byte) bool {
	return c > ' ' && c != 0x7f && strings.IndexByte(`(),;"\`, c) < 0
}

// text returns a comment or a reason as it is kept.
func text(s string) string {
	s = legible(s)
	if len(s) <= MaxText {
		return s
	}
	return strings.ToValidUTF8(cut(s, MaxText), "")
}
