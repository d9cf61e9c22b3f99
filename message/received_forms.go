package message

import (
	"net/netip"
	"regexp"
	"strings"
)

// reader reads what stands between "from " and "by" in the form of one family
// of servers. It is false when the text has another form.
type reader func(r *Received, words string, anchored bool) bool

// formOf tells who wrote a field, by what no client can write: what follows the
// server's own name, and the first word in the first comment. For how each
// server writes:
//
//	Postfix, Sendmail, Halon  HELO (name [address])
//	Sendmail, IIS, amavis     HELO ([address])
//	Exchange                  HELO (address)
//	Exim                      name ([address] helo=HELO ident=user)
//	                          [address] (helo=HELO ident=user)
//	qmail                     name (HELO HELO) (user@address)
//	James                     name (EHLO HELO) ([address])
//	chasquid                  [address] (HELO)
//
// Postfix, Sendmail, Exchange and qmail leave no space and no parenthesis in a
// HELO name; Exim, James and chasquid may. An ident answer has both in Exim, and
// neither elsewhere. Names in the reverse DNS are host names.
func formOf(words, tail string) reader {
	switch {
	case wrote("(chasquid)", tail):
		return readChasquid
	case rcvExim.MatchString(tail):
		return readExim
	case rcvMode.MatchString(words):
		return readMode
	default:
		return readPlain
	}
}

// Parts of the forms.
const (
	rcvAddr  = `(?P<addr>(?:IPv6:)?[0-9A-Fa-f:.]+)`
	rcvBrack = `\[` + rcvAddr + `\](?::[0-9]+)?` // Exim adds the port on request
	rcvHelo  = `(?P<helo>[^\s()]+)`
	rcvSp    = `[ \n]`
	// A value is a token without brackets, or one address in brackets, so that
	// "helo=x@[192.0.2.1]" is none: Sendmail writes ident@[address].
	rcvPair = `(?:helo|ident|port)=(?:\[(?:IPv6:)?[0-9A-Fa-f:.]+\]|[^\s()\[\]]+)`
)

var (
	rcvExim = regexp.MustCompile(`^ with [^"\[]*\(Exim `)
	rcvMode = regexp.MustCompile(`^[^\s()]+` + rcvSp + `\([EH][EH]LO `)

	rcvChasquid = regexp.MustCompile(`^` + rcvBrack + rcvSp + `\((?P<helo>\S+)\)$`)

	// Exim with a verified name, and without one. What follows the address is a
	// client's, up to the end.
	rcvEximNamed = regexp.MustCompile(`^` + rcvHelo + rcvSp + `\(` + rcvBrack + `(?:\)|` + rcvSp + `(?P<more>[^\n]*))`)
	rcvEximBare  = regexp.MustCompile(`^(?P<helo>` + rcvBrack + `)(?:$|` + rcvSp + `\((?P<more>(?:port|helo|ident)=[^\n]*))`)
	rcvEximAlone = regexp.MustCompile(`^` + rcvBrack + `$`)
	rcvEximHelo  = regexp.MustCompile(`^(?:port=[0-9]+ )?helo=([^\s()]*)`)

	// qmail and James: one line, at whose end the address is.
	rcvModeLine   = regexp.MustCompile(`^[^\s()]+ \([EH][EH]LO (?P<helo>[^\s()]*).*\) ` + rcvBareAddr + `$`)
	rcvModeStrict = regexp.MustCompile(`^[^\s()]+` + rcvSp + `\([EH][EH]LO ` + rcvHelo + `\)` + rcvSp + rcvBareAddr)
)

// rcvBareAddr is an address in parentheses, with the answer of an ident server,
// which may have an @ of its own.
const rcvBareAddr = `\((?:[^\s()]*@)?\[?` + rcvAddr + `\]?\)`

// plainForms are tried in order. No text has two of them.
var plainForms = []*regexp.Regexp{rcvNamed, rcvEximStrict, rcvEximOther, rcvUnnamed}

var (
	// Sendmail leaves out a name that it does not know, puts "ident@" in front,
	// and may add a doubt. The name may be on a line of its own.
	rcvNamed = regexp.MustCompile(`^` + rcvHelo + rcvSp + `\((?:(?P<name>[^\s()\[\]]+)[ \n@])?` + rcvBrack + `(?: \(may be forged\))?\)`)
	// Exim whose own name is not behind "with", or not to be relied upon.
	rcvEximStrict = regexp.MustCompile(`^` + rcvHelo + rcvSp + `\(` + rcvBrack + `(?: ` + rcvPair + `)+\)`)
	rcvEximOther  = regexp.MustCompile(`^(?P<helo>` + rcvBrack + `)` + rcvSp + `\(` + rcvPair + `(?: ` + rcvPair + `)*\)`)
	rcvUnnamed    = regexp.MustCompile(`^` + rcvHelo + rcvSp + rcvBareAddr)

	rcvHeloPair = regexp.MustCompile(`[ (]helo=([^\s()]+)`)
)

func readPlain(r *Received, words string, anchored bool) bool {
	for _, form := range plainForms {
		m := form.FindStringSubmatch(words)
		if m == nil {
			continue
		}
		r.Helo = part(form, m, "helo")
		pair := rcvHeloPair.FindStringSubmatch(m[0])
		switch {
		case pair == nil || form == rcvUnnamed: // qmail's ident answer may look like one
		case form != rcvNamed:
			r.Helo = pair[1]
		case words[0] == '[':
			return false // may be Exim's "[address] (helo=x [192.0.2.1])", all of it HELO
		}
		return r.setClient(part(form, m, "addr")) && onlyComments(words[len(m[0]):], anchored)
	}
	return false
}

// onlyComments reports whether nothing but comments follows a client. What TLS
// and SMTP AUTH have added is on a line of its own, or begins as servers begin
// it; another comment on the line of the client may be the client, and what
// stands before it a HELO name.
func onlyComments(rest string, anchored bool) bool {
	for rest != "" {
		if rest[0] != ' ' && rest[0] != '\n' || len(rest) == 1 || rest[1] != '(' {
			return false
		}
		if !(anchored && rest[0] == '\n') && !rcvAbout.MatchString(rest[1:]) {
			return false
		}
		n := commentLength(rest[1:])
		if n == 0 {
			return false
		}
		rest = rest[1+n:]
	}
	return true
}

// rcvAbout is how comments begin that Postfix and Sendmail write about TLS and
// SMTP AUTH.
var rcvAbout = regexp.MustCompile(`^\((?:using |Client CN "|Client did not present|No client certificate|Authenticated sender: |authenticated|version=)`)

func readChasquid(r *Received, words string, anchored bool) bool {
	m := rcvChasquid.FindStringSubmatch(words)
	if m == nil || !anchored && strings.ContainsAny(part(rcvChasquid, m, "helo"), "()") {
		return false
	}
	r.Helo = uptoSpace(part(rcvChasquid, m, "helo"))
	return r.setClient(part(rcvChasquid, m, "addr"))
}

func readExim(r *Received, words string, anchored bool) bool {
	if !anchored && !rcvEximAlone.MatchString(words) {
		return readPlain(r, words, false)
	}
	for _, form := range []*regexp.Regexp{rcvEximNamed, rcvEximBare} {
		m := form.FindStringSubmatch(words)
		if m == nil {
			continue
		}
		r.Helo = part(form, m, "helo")
		if helo := rcvEximHelo.FindStringSubmatch(part(form, m, "more")); helo != nil {
			r.Helo = helo[1]
		}
		return r.setClient(part(form, m, "addr"))
	}
	return false
}

func readMode(r *Received, words string, anchored bool) bool {
	if line, _, _ := strings.Cut(words, "\n"); anchored {
		if m := rcvModeLine.FindStringSubmatch(line); m != nil {
			r.Helo = part(rcvModeLine, m, "helo")
			return r.setClient(part(rcvModeLine, m, "addr"))
		}
	}
	m := rcvModeStrict.FindStringSubmatch(words)
	if m == nil {
		return false
	}
	r.Helo = part(rcvModeStrict, m, "helo")
	return r.setClient(part(rcvModeStrict, m, "addr")) && onlyComments(words[len(m[0]):], anchored)
}

// part returns the group of that name.
func part(re *regexp.Regexp, m []string, name string) string { return m[re.SubexpIndex(name)] }

// uptoSpace returns what stands before the first space or parenthesis.
func uptoSpace(s string) string {
	if i := strings.IndexAny(s, " \n()"); i >= 0 {
		return s[:i]
	}
	return s
}

// setClient is false for what is no address.
func (r *Received) setClient(addr string) bool {
	bare, six := strings.CutPrefix(addr, "IPv6:")
	a, err := netip.ParseAddr(bare)
	if err != nil || six && a.Is4() {
		return false
	}
	r.Client = a.Unmap()
	return true
}
