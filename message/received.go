package message

import (
	"net/netip"
	"regexp"
	"strings"
)

// maxReceived bounds the field that is read: our limit. Servers write a few
// hundred bytes, TLS data included.
const maxReceived = 16 << 10

// Received is what a server wrote about the client that gave it a message.
type Received struct {
	// Helo is the client's own word, without space, parentheses and control
	// bytes. Where Exim writes no other it is the client's verified name or
	// its address in brackets.
	Helo   string
	Client netip.Addr // without a zone, and IPv4 never in IPv6 form
	By     string     // name of the server, as ParseDomain gives it
}

// ParseReceived reads a Received field as Postfix, Sendmail and Exim write it
// for a message that came over SMTP. It is false for every other form, and
// whenever another reading gives another client: the HELO name, the name in
// the reverse DNS and the answer of an ident server are the client's choice.
// Who wrote the field, it does not know; the caller must.
func ParseReceived(f Field) (Received, bool) {
	text, ok := oneSpace(f.Body())
	if !ok {
		return Received{}, false
	}
	for _, form := range receivedForms {
		m := form.re.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		r := Received{Helo: m[form.re.SubexpIndex("helo")]}
		if pair := rcvHeloPair.FindStringSubmatch(m[0]); pair != nil && form.exim {
			r.Helo = pair[1]
		}
		if !form.exim && rcvPairFirst.MatchString(m[form.re.SubexpIndex("name")]) {
			return Received{}, false // may be Exim's "(helo=x [192.0.2.1])", all of it HELO
		}
		rest := text[len(m[0]):]
		return r.complete(m[form.re.SubexpIndex("addr")], rest, !form.bare || rcvExim.MatchString(rest))
	}
	return Received{}, false
}

// Parts of the forms. A client's words are tokens here: Postfix replaces
// space and parentheses in a HELO name with question marks, Sendmail refuses
// such a name, and Exim does unless it is told to accept junk.
const (
	rcvAddr = `\[(?P<addr>(?:IPv6:)?[0-9A-Fa-f:.]+)\](?::[0-9]+)?` // Exim adds the port on request
	rcvHelo = `(?P<helo>[^\s()]+)`
	// A value is a token without brackets, or one address in brackets, so that
	// "helo=x@[192.0.2.1]" is none: Sendmail writes ident@[address].
	rcvPair = `(?:helo|ident|port)=(?:\[(?:IPv6:)?[0-9A-Fa-f:.]+\]|[^\s()\[\]]+)`
)

type receivedForm struct {
	re   *regexp.Regexp
	exim bool // no other server writes it
	bare bool // only by what follows "by" it can be told who did
}

// receivedForms are tried in order. No text has two of them.
var receivedForms = []receivedForm{
	// Postfix and Sendmail: "HELO (name [address])". Sendmail leaves out a name
	// it does not know, puts "ident@" in front, and may add a doubt. Exim, with
	// nothing but a verified name: "name ([address])".
	{re: regexp.MustCompile(`^from ` + rcvHelo + ` \((?:(?P<name>[^\s()\[\]]+)[ @])?` + rcvAddr + `(?: \(may be forged\))?\)`)},
	// Exim with a verified name: "name ([address] helo=HELO)".
	{re: regexp.MustCompile(`^from ` + rcvHelo + ` \(` + rcvAddr + `(?: ` + rcvPair + `)+\)`), exim: true},
	// Exim without one: "[address] (helo=HELO)".
	{re: regexp.MustCompile(`^from (?P<helo>` + rcvAddr + `) \(` + rcvPair + `(?: ` + rcvPair + `)*\)`), exim: true},
	// Exim when the client calls itself by its address: "[address]".
	{re: regexp.MustCompile(`^from (?P<helo>` + rcvAddr + `)`), exim: true, bare: true},
}

var (
	rcvHeloPair  = regexp.MustCompile(`[ (]helo=([^\s()]+)`)
	rcvPairFirst = regexp.MustCompile(`^(?:helo|ident|port)=`)
	rcvExim      = regexp.MustCompile(`^ by [^\s();]+ with [^"\[]*\(Exim `)
	rcvBy        = regexp.MustCompile(`^ by ([^\s();]+)`)
	rcvMoreBy    = regexp.MustCompile(`(?:^|[\s)])by\s`)
	rcvQuoted    = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	// A comment such as servers write about a client.
	rcvClient = regexp.MustCompile(`\((?:[^\s()]+[ @])?\[(?:IPv6:)?[0-9A-Fa-f:.]+\][^\[\]]*\)|\((?:helo|ident|port)=`)
)

// complete reads what follows the client. A HELO name that a server wrote
// without a look at it may hold a whole forged field; then the server's own
// words about the client or its own "by" come later.
func (r Received) complete(addr, rest string, ok bool) (Received, bool) {
	var err error
	if r.Client, err = netip.ParseAddr(strings.TrimPrefix(addr, "IPv6:")); err != nil {
		return Received{}, false
	}
	if strings.HasPrefix(addr, "IPv6:") && r.Client.Is4() {
		return Received{}, false
	}
	r.Client = r.Client.Unmap()
	// What TLS and SMTP AUTH have added.
	comments, rest, balanced := cutComments(rest)
	by := rcvBy.FindStringSubmatch(rest)
	if !ok || !balanced || by == nil {
		return Received{}, false
	}
	tail := rcvQuoted.ReplaceAllString(rest[len(by[0]):], `""`)
	if rcvClient.MatchString(comments) || rcvClient.MatchString(tail) || rcvMoreBy.MatchString(tail) {
		return Received{}, false
	}
	if r.By, err = ParseDomain(by[1]); err != nil {
		return Received{}, false
	}
	return r, true
}

// cutComments cuts after the comments that s begins with.
func cutComments(s string) (comments, rest string, balanced bool) {
	rest = s
	for strings.HasPrefix(rest, " (") {
		depth, i := 0, 1
		for ; i < len(rest); i++ {
			if rest[i] == '(' {
				depth++
			}
			if rest[i] == ')' {
				if depth--; depth == 0 {
					break
				}
			}
		}
		if depth > 0 {
			return s, "", false
		}
		rest = rest[i+1:]
	}
	return s[:len(s)-len(rest)], rest, true
}

// oneSpace returns s with each run of white space, folds included, as one
// space. It is false for control bytes and for a text that is too long.
func oneSpace(s string) (string, bool) {
	if len(s) > maxReceived {
		return "", false
	}
	s = rcvFold.Replace(s)
	for i := range len(s) {
		if isControl(s[i]) && s[i] != '\t' {
			return "", false
		}
	}
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' })
	return strings.Join(words, " "), true
}

var rcvFold = strings.NewReplacer("\r\n ", " ", "\r\n\t", " ", "\n ", " ", "\n\t", " ")
