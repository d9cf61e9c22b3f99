package message

import "strings"

// Limits of what ParseAuthor looks at.
const (
	// MaxFromBytes is how many bytes of From fields are looked at; more make
	// the author Unparsable. It is well below 60,000, where Postfix 3.7 cuts
	// off what a milter is shown of a field: an address behind the cut would
	// be seen by mail readers alone.
	MaxFromBytes = 32 << 10

	// MaxMailboxes is how many mailboxes From may have before it is Unparsable.
	MaxMailboxes = 100

	// MaxAuthorDomains is how many Author Domains a message may have and still
	// be evaluated (RFC 9989, Section 11.5, asks for a limit). Author.Domains
	// holds one more at most, so that a caller sees the excess.
	MaxAuthorDomains = 5
)

// Outcome says what the From field gave.
type Outcome uint8

// The outcomes. The zero value is the one that authenticates nobody.
const (
	Unparsable       Outcome = iota // no address, or one whose domain cannot be had
	Missing                         // no From field
	OneMailbox                      // the usual case: one mailbox, one domain
	SeveralMailboxes                // of one domain
	SeveralDomains                  // mailboxes of two or more domains
	SeveralFields                   // more than one From field
	EmptyGroup                      // a group without a mailbox (RFC 6854), and no mailbox elsewhere
)

// String returns the name that logs and metrics use.
func (o Outcome) String() string {
	switch o {
	case Missing:
		return "missing"
	case OneMailbox:
		return "one"
	case SeveralMailboxes:
		return "several_mailboxes"
	case SeveralDomains:
		return "several_domains"
	case SeveralFields:
		return "several_fields"
	case EmptyGroup:
		return "empty_group"
	default:
		return "unparsable"
	}
}

// Author is who a message claims to be from.
type Author struct {
	Outcome Outcome

	// Domains are the distinct Author Domains in order of appearance, as
	// ParseDomain gives them. When Outcome is Unparsable or SeveralFields they
	// are those that were found, which others may read differently.
	// There are at most MaxAuthorDomains+1.
	Domains []string
}

// ParseAuthor returns the Author Domains of the From fields of h (RFC 9989,
// Section 5.3.1). In each mailbox an angle-addr counts before an addr-spec: the
// domain of `x@a.example <y@b.example>` is b.example, and the rest is a display
// name. Addresses after an angle-addr, or side by side, are further mailboxes.
// A field with one address in every reading has one mailbox, whatever
// separators stand before it (loneDomain).
func ParseAuthor(h Header) Author {
	var p author
	fields, budget, last := 0, MaxFromBytes, ""
	for i := range h {
		if !strings.EqualFold(h[i].Name, "From") {
			continue
		}
		fields++
		text := h[i].Body()
		if len(text) > budget {
			text, p.bad, p.cut = text[:budget], true, true
		}
		budget -= len(text)
		p.field(text)
		last = text
	}
	if p.bad && fields == 1 && !p.cut {
		if domain, ok := loneDomain(last); ok {
			return Author{Outcome: OneMailbox, Domains: []string{domain}}
		}
	}
	return Author{Outcome: p.outcome(fields), Domains: p.domains}
}

// author gathers what the From fields hold, reading one after the other.
type author struct {
	scanner
	tok token // the next one

	domains     []string
	mailboxes   int
	emptyGroups int
	bad         bool // some mailbox has no domain, or has two readings
	cut         bool // not all was looked at
}

func (p *author) outcome(fields int) Outcome {
	switch {
	case fields == 0:
		return Missing
	case fields > 1:
		return SeveralFields
	case p.bad:
		return Unparsable
	case p.mailboxes == 0 && p.emptyGroups > 0:
		return EmptyGroup
	case p.mailboxes == 0:
		return Unparsable
	case len(p.domains) > 1:
		return SeveralDomains
	case p.mailboxes > 1:
		return SeveralMailboxes
	default:
		return OneMailbox
	}
}

func (p *author) advance() { p.tok = p.next() }

// field reads a mailbox-list with groups (RFC 6854, Section 2.1).
func (p *author) field(text string) {
	p.scanner = scanner{text: text}
	p.advance()
	var l list
	for {
		e := p.element()
		for _, s := range e.specs {
			p.mailbox(s)
		}
		p.bad = !l.add(p, e) || p.bad
		if p.tok.kind == end {
			break
		}
		p.advance()
	}
	p.bad = p.bad || p.broken
}

// list is what must be remembered from one element of the mailbox-list to the
// next.
type list struct {
	// comma: the last element was plain words before a comma, which is taken
	// for part of the display name if an angle-addr follows, as in the common
	// mistake `Doe, Jane <jane@a.example>`.
	comma bool

	group bool // in a group
	since int  // mailboxes before the group
}

// add takes in element e, which ends at p.tok. It reports whether all is well.
func (l *list) add(p *author, e element) bool {
	ok := true
	switch {
	case e.angle:
		l.comma = false
	case len(e.specs) > 0:
		ok = !l.comma
		l.comma = false
	case e.words && p.tok.is(','):
		ok = !e.odd()
		l.comma = true
	case e.words && !p.tok.is(':'):
		ok = false
	}
	switch {
	case p.tok.is(':'):
		// A name with an address in it is shown like an author, and its group
		// may be empty.
		ok = ok && e.words && !e.at && !e.angle && len(e.specs) == 0
		l.group, l.since = true, p.mailboxes
	case p.tok.is(';'):
		ok = ok && !l.comma
		if l.group && p.mailboxes == l.since {
			p.emptyGroups++
		}
		l.group = false
	case p.tok.kind == end:
		ok = ok && !l.comma && (!l.group || p.mailboxes > l.since)
	}
	return ok
}

// spec is the domain text of an address, and whether it has only one reading.
type spec struct {
	domain string
	sure   bool
}

// mailbox counts s and notes its domain.
func (p *author) mailbox(s spec) {
	p.mailboxes++
	domain, err := ParseDomain(s.domain)
	p.bad = p.bad || err != nil || !s.sure
	if err == nil {
		p.note(domain)
	}
	if p.mailboxes > MaxMailboxes {
		p.bad = true
		p.pos = len(p.text)
		p.tok = token{}
	}
}

func (p *author) note(domain string) {
	if len(p.domains) > MaxAuthorDomains {
		return
	}
	for _, d := range p.domains {
		if d == domain {
			return
		}
	}
	p.domains = append(p.domains, domain)
}
