package message

import "strings"

// element is one element of a mailbox-list: what stands between two commas.
type element struct {
	specs []spec // its addresses; those before an angle-addr do not count
	angle bool   // it has an angle-addr
	words bool   // it has other text
	quote bool   // of which some is quoted
	at    bool   // of which some quoted text has an "@"
	marks int    // question marks from the first "=?" on
}

// odd reports whether the words may hide an address. An encoded-word,
// "=?c?e?t?=", has four question marks; some mail readers decode before they
// split the list.
func (e *element) odd() bool { return e.quote || e.marks >= 4 }

// place is what stands just before a token of an element.
type place uint8

const (
	nothing place = iota
	word          // what may be a local-part
	address       // the domain of an addr-spec
	stray         // a ">" that closes nothing
)

// element reads up to the comma, semicolon, colon or end that follows.
func (p *author) element() element {
	var e element
	before := nothing
	for {
		t := p.tok
		switch {
		case t.kind == end, t.is(','), t.is(';'), t.is(':'):
			return e
		case t.is('<'):
			p.angle(&e)
			before = nothing
		case t.is('@'):
			p.advance()
			s := p.domain()
			// "a@b@c" has two readings, "@c" none.
			s.sure = s.sure && before == word
			e.specs = append(e.specs, s)
			before = address
			p.enough(len(e.specs))
		case t.is('>'):
			// OpenDMARC once skipped its check for such a field.
			p.advance()
			before = stray
		default:
			// `x@a.example"".b.example` and `x@a.example>.b.example`
			if before >= address && !t.gap {
				p.bad = true
			}
			e.word(t)
			p.advance()
			before = word
		}
	}
}

// enough ends the field if one element has more addresses than all may have.
func (p *author) enough(n int) {
	if n > MaxMailboxes {
		p.bad = true
		p.pos = len(p.text)
		p.tok = token{}
	}
}

func (e *element) word(t token) {
	e.words = true
	switch t.kind {
	case quoted:
		e.quote = true
		e.at = e.at || strings.Contains(t.text, "@")
	case atom:
		if e.marks > 0 || strings.Contains(t.text, "=?") {
			e.marks += strings.Count(t.text, "?")
		}
	}
}

// angle reads an angle-addr from its "<" on. It ends at ">", or without one
// where the next mailbox begins.
func (p *author) angle(e *element) {
	p.advance()
	s := p.angleAddr()
	if p.tok.is('>') {
		p.advance()
	}
	// What came before is a display name; but `x@a.example <>` is shown as
	// x@a.example, so it stays beside the address that has no domain.
	if s.sure && !e.angle {
		e.specs = e.specs[:0]
	}
	e.angle = true
	e.specs = append(e.specs, s)
	p.enough(len(e.specs))
}

// angleAddr reads what stands in angle brackets.
func (p *author) angleAddr() spec {
	if p.tok.is('@') && !p.route() {
		return spec{}
	}
	var s spec
	local, ats := false, 0
	for {
		t := p.tok
		switch {
		case t.kind == end, t.is('>'), t.is('<'), t.is(','), t.is(';'):
			s.sure = s.sure && ats == 1
			return s
		case t.is('@'):
			p.advance()
			d := p.domain()
			s = spec{domain: d.domain, sure: d.sure && local}
			ats++
		case t.is(':') && ats == 0:
			// <mailto:x@a.example>
			p.advance()
		default:
			// Text behind the domain might belong to it.
			s.sure = false
			local = true
			p.advance()
		}
	}
}

// route skips an obsolete source route, which has no meaning (RFC 5322,
// Section 4.4): "@a.example,@b.example:". It reports whether there was one.
func (p *author) route() bool {
	for {
		switch t := p.tok; {
		case t.is(':'):
			p.advance()
			return true
		case t.kind == end, t.is('>'), t.is('<'), t.is(';'):
			return false
		}
		p.advance()
	}
}

// domain reads the domain that follows an "@". Obsolete syntax allows space
// and comments around its dots (RFC 5322, Section 4.4), but a reader that does
// not know that would see in `x@a.example .b.example` the domain a.example. So
// only the first label may be set apart: it is nobody's domain.
func (p *author) domain() spec {
	if p.tok.kind == atom && p.tok.text[0] == '[' {
		p.skipLiteral(p.tok.start)
		p.advance()
		return spec{}
	}
	s := spec{sure: true}
	name := make([]byte, 0, 64)
	labels, afterLabel := 0, false
	for {
		t := p.tok
		isLabel := t.kind == atom
		if !isLabel && !t.is('.') || isLabel && afterLabel {
			break
		}
		if t.gap && labels > 1 {
			s.sure = false
		}
		if isLabel {
			labels++
			name = append(name, t.text...)
		} else {
			name = append(name, '.')
		}
		afterLabel = isLabel
		p.advance()
	}
	s.domain = string(name)
	return s
}
