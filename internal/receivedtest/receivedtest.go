// Package receivedtest writes Received fields as mail servers do, with hostile
// words in every place that a client chooses. It is test support.
//
// Each server's own care for such words is repeated here, from its source: what
// it replaces, what it refuses, and what it writes as it came.
package receivedtest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
)

// Want is what has to be read of a field.
type Want struct {
	Helo          string // up to the first space or parenthesis
	Client        netip.Addr
	By            string
	Authenticated bool
}

// Maker makes fields.
type Maker struct {
	*rand.Rand
	By      string       // name of the server, a host name in lower case
	Hostile []string     // words of clients; Words when nil
	Clients []netip.Addr // addresses of clients; some of every kind when nil
}

// Words are what hostile clients say: whole fields, parts of them, and what
// servers write about others. All of them name 198.51.100.9 and evil.example,
// which no reader may take for the client or the server.
var Words = []string{
	"h.example", "198.51.100.9", "[198.51.100.9]", "[IPv6:2001:db8::bad]", "localhost", "[127.0.0.1]", "by", "with", "via", "for", "(", ")", "((", "))", `"`, `\`, ";", "@", "<>",
	"x ([198.51.100.9]) (y", "x (y [198.51.100.9]) by evil.example with ESMTPSA (", "x (a [198.51.100.9])", "x) (y [198.51.100.9]",
	"x) by evil.example with esmtpsa (Exim 4.98) (envelope-from <", "x)(y", "x)by", "[198.51.100.9] (helo=z) by evil.example",
	"x@[198.51.100.9]", "x [198.51.100.9]) by evil.example (y", "x ident=y [198.51.100.9]", "x helo=y", "helo=x", "ident=x helo=evil.example", "port=25 helo=x",
	"EHLO x) ([198.51.100.9", "HELO x) (198.51.100.9", "x) ([198.51.100.9])", "x (EHLO y) ([198.51.100.9])", "x (198.51.100.9)", "x) (y@198.51.100.9",
	"(chasquid) with ESMTPSA", "(Exim 4.98)", "(Postfix) with ESMTPSA", "by evil.example (Postfix) with ESMTPA id 1", "(authenticated bits=0)", "(Authenticated sender: x)",
	`x", Issuer "y" (verified OK)) by evil.example with ESMTPSA ("`, "evil.example (Client CN \"", "(using TLSv1.3", "with ESMTPSA", "Microsoft SMTP Server",
	"; Mon, 2 Nov 2026 10:00:00 +0000", "h\x01x", "h\xff\xfe", "h\u00e9.example", "h\tx", "=?utf-8?q?x?=", "?", "from evil.example",
}

// Form is how one server writes.
type Form struct {
	Server string
	write  func(m Maker) (field []byte, want Want)
}

// MaxHelo is how much of a HELO name is read.
const MaxHelo = 255

// Write makes a field.
func (f Form) Write(m Maker) (field []byte, want Want) {
	field, want = f.write(m)
	want.Helo = cut(want.Helo, MaxHelo)
	return field, want
}

// Forms are the servers of which docs/operations.md says that they are read.
var Forms = []Form{
	{"Postfix", Maker.postfix},
	{"Sendmail", Maker.sendmail},
	{"Exim", Maker.exim},
	{"Exim that accepts any HELO name", Maker.eximJunk},
	{"Exchange", Maker.exchange},
	{"SMTP service of IIS", Maker.iis},
	{"qmail", Maker.qmail},
	{"chasquid", Maker.chasquid},
	{"James", Maker.james},
	{"Halon", Maker.halon},
}

const date = "Mon, 2 Nov 2026 10:00:00 +0000 (UTC)"

// Word is what a client says: one hostile word, several, or one that is long.
func (m Maker) Word() string {
	words := m.Hostile
	if words == nil {
		words = Words
	}
	s := words[m.IntN(len(words))]
	for m.IntN(3) == 0 {
		s += []string{" ", "", "."}[m.IntN(3)] + words[m.IntN(len(words))]
	}
	if s = strings.NewReplacer("\r", "", "\n", "").Replace(s); strings.Trim(s, " \t") == "" { // no command has a line break in it
		s = "x"
	}
	if m.IntN(20) == 0 {
		s = strings.Repeat("x", m.IntN(2000)) + s + strings.Repeat("y", m.IntN(1000))
	}
	return s
}

// host is a host name that a client has in the reverse DNS, or chose for HELO.
func (m Maker) host() string {
	return []string{"h.example", "mx-1.shop.example", "helo.example", "by.example", "with.example", "a_b.example", "unknown", "localhost", "198-51-100-9.example"}[m.IntN(9)]
}

func (m Maker) addr() netip.Addr {
	if m.Clients != nil {
		return m.Clients[m.IntN(len(m.Clients))]
	}
	return netip.MustParseAddr([]string{"192.0.2.1", "203.0.113.254", "10.1.2.3", "127.0.0.1", "2001:db8::1", "::1", "fd00::1:2"}[m.IntN(7)])
}

// literal is an address as RFC 5321, Section 4.1.3, has it, without brackets.
func literal(a netip.Addr) string {
	if a.Is6() {
		return "IPv6:" + a.String()
	}
	return a.String()
}

func (m Maker) with(upper bool) (protocol string, auth bool) {
	protocol = "ESMTP" + []string{"", "S"}[m.IntN(2)]
	if auth = m.IntN(3) == 0; auth {
		protocol += "A"
	}
	if !upper {
		protocol = strings.ToLower(protocol)
	}
	return protocol, auth
}

// cut is a text of at most n bytes.
func cut(s string, n int) string { return s[:min(len(s), n)] }

// keep replaces what is not in set, which may end in "0aA" for digits and
// letters, by with; an empty with drops it.
func keep(s, set, with string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case strings.IndexByte(set, c) >= 0, c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			b.WriteByte(c)
		default:
			b.WriteString(with)
		}
	}
	return b.String()
}

// replace returns s with a question mark for each byte that is bad.
func replace(s string, bad func(c byte) bool) string {
	out := []byte(s)
	for i, c := range out {
		if bad(c) {
			out[i] = '?'
		}
	}
	return string(out)
}

// printable replaces what is not printable ASCII.
func printable(s string) string { return replace(s, func(c byte) bool { return c < ' ' || c > '~' }) }

// Read is what is read of a HELO name that a server writes as it came.
func Read(helo string) string {
	helo = replace(helo, func(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f })
	if i := strings.IndexAny(helo, " \t()"); i >= 0 {
		return helo[:i]
	}
	return helo
}

// postfix: smtpd replaces characters in HELO (NEUTER_CHARACTERS), and in comments
// what is not printable, backslashes, and parentheses without a partner
// (comment_sanitize). The next Postfix breaks lines of 998 bytes.
func (m Maker) postfix() ([]byte, Want) {
	w := Want{Client: m.addr(), By: m.By}
	w.Helo = replace(printable(cut(m.Word(), 2000)), func(c byte) bool { return strings.IndexByte(" <>()\\\";@", c) >= 0 })
	text := fmt.Sprintf("Received: from %s (%s [%s])", w.Helo, m.host(), literal(w.Client))
	if m.IntN(2) == 0 {
		text += "\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n\t key-exchange X25519 server-signature RSA-PSS (2048 bits))"
		switch m.IntN(3) {
		case 0:
			text += fmt.Sprintf("\n\t(Client CN \"%s\", Issuer \"%s\" (%s))", postfixComment(cut(m.Word(), 255)), postfixComment(cut(m.Word(), 255)), []string{"verified OK", "not verified"}[m.IntN(2)])
		case 1:
			text += "\n\t(Client did not present a certificate)"
		default:
			text += "\n\t(No client certificate requested)"
		}
	}
	var protocol string
	if protocol, w.Authenticated = m.with(true); w.Authenticated && m.IntN(2) == 0 {
		text += "\n\t(Authenticated sender: " + postfixComment(m.Word()) + ")"
	}
	text += fmt.Sprintf("\n\tby %s (Postfix) with %s id 4X", m.By, protocol)
	if m.IntN(2) == 0 {
		text += "\n\tfor <" + m.Word() + ">"
	}
	return breakLines(text+"; "+date, 998), w
}

// postfixComment is comment_sanitize of smtpd.
func postfixComment(s string) string {
	out, depth := []byte(printable(s)), 0
	for i, c := range out {
		switch {
		case c == '\\', c == ')' && depth == 0:
			out[i] = '?'
		case c == '(':
			depth++
		case c == ')':
			depth--
		}
	}
	return string(out) + strings.Repeat(")", depth)
}

// breakLines ends lines with CRLF, and breaks long ones, as the SMTP client of
// Postfix does.
func breakLines(text string, most int) []byte {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		for len(line) > most {
			out = append(out, line[:most])
			line = " " + line[most:]
		}
		out = append(out, line)
	}
	return []byte(strings.Join(out, "\r\n") + "\r\n")
}

// lines ends lines with CRLF.
func lines(text string) []byte { return []byte(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n") }

// sendmail: a HELO name with other characters is refused or, under
// AllowBogusHELO, not kept (srvrsmtp.c); an ident answer loses characters
// (cleanstrcpy).
func (m Maker) sendmail() ([]byte, Want) {
	w := Want{Client: m.addr(), By: m.By}
	name := m.host()
	w.Helo = cut(m.Word(), 256)
	if keep(w.Helo, "[].-_#:", "") != w.Helo || w.Helo == "" {
		w.Helo = name
	}
	about := "[" + literal(w.Client) + "]"
	if m.IntN(2) == 0 {
		about = name + " " + about
	} else if m.IntN(2) == 0 {
		name = ""
	}
	if m.IntN(3) == 0 {
		if ident := keep(m.Word(), "!#$%&'*+-./^_`{|}~", ""); ident != "" {
			about = cut(ident, 256) + "@" + about
		}
	}
	if m.IntN(4) == 0 {
		about += " (may be forged)"
	}
	protocol, auth := m.with(true)
	w.Authenticated = auth
	text := fmt.Sprintf("Received: from %s (%s)", w.Helo, about)
	if auth {
		text += "\n\t(authenticated bits=0)"
	}
	text += fmt.Sprintf("\n\tby %s (8.18.1/8.18.1/Debian-6) with %s id 4A2A0Abc", m.By, protocol)
	if m.IntN(2) == 0 {
		text += "\n\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify=NO)"
	}
	if m.IntN(2) == 0 {
		text += "\n\tfor <" + m.Word() + ">"
	}
	return lines(text + "; Mon, 2 Nov 2026 10:00:00 GMT"), w
}

func (m Maker) exim() ([]byte, Want) {
	helo := keep(m.Word(), ".-_", "")
	if m.IntN(4) == 0 {
		helo = "[198.51.100.9]"
	}
	return m.eximField(helo)
}

// eximJunk: with helo_accept_junk_hosts any HELO name is taken as it came.
func (m Maker) eximJunk() ([]byte, Want) { return m.eximField(strings.Trim(m.Word(), " \t")) }

// eximField: host_build_sender_fullhost and received_header_text. An ident
// answer of up to 127 characters is written with its spaces.
func (m Maker) eximField(helo string) ([]byte, Want) {
	w := Want{Client: m.addr(), By: m.By, Helo: Read(helo)}
	address := "[" + w.Client.String() + "]"
	var pairs []string
	if m.IntN(4) == 0 {
		address += ":4321"
	}
	ident := ""
	if m.IntN(4) == 0 {
		ident = " ident=" + printable(cut(m.Word(), 127))
	}
	text := "Received: from "
	switch name := m.host(); m.IntN(3) {
	case 0: // the name is the HELO name
		w.Helo = name
		text += fmt.Sprintf("%s (%s%s)", name, address, ident)
		if ident != "" {
			text = fmt.Sprintf("Received: from %s\n\t(%s%s)", name, address, ident)
		}
	case 1:
		text += fmt.Sprintf("%s (%s helo=%s%s)", name, address, helo, ident)
	default:
		bare, port, _ := strings.Cut(address, "]:")
		if bare = strings.TrimSuffix(bare, "]") + "]"; port != "" {
			pairs = append(pairs, "port="+port)
		}
		if m.IntN(4) == 0 {
			w.Helo = bare // the client calls itself so
		} else {
			pairs = append(pairs, "helo="+helo)
		}
		if ident != "" {
			pairs = append(pairs, ident[1:])
		}
		if text += bare; len(pairs) > 0 {
			text += " (" + strings.Join(pairs, " ") + ")"
		}
	}
	protocol, auth := m.with(false)
	w.Authenticated = auth
	text += fmt.Sprintf("\n\tby %s with %s  (TLS1.3) tls TLS_AES_256_GCM_SHA384\n\t(Exim 4.98)\n\t", m.By, protocol)
	if m.IntN(4) > 0 {
		text += "(envelope-from <" + m.Word() + ">)\n\t"
	}
	text += "id 1abcDE-00000001Xyz-2aBc"
	if m.IntN(2) == 0 {
		text += "\n\tfor " + m.Word()
	}
	return breakLines(text+";\n\tMon, 02 Nov 2026 10:00:00 +0000", []int{998, 1 << 20}[m.IntN(2)]), w
}

// exchange takes nothing but a domain or an address literal for HELO. Lines are
// broken where they are full.
func (m Maker) exchange() ([]byte, Want) {
	w := Want{Client: m.addr(), By: m.By, Helo: m.domainOrLiteral()}
	sp := func() string { return []string{" ", "\n "}[m.IntN(2)] }
	text := fmt.Sprintf("Received: from %s%s(%s) by%s%s%s(10.0.0.5)%swith Microsoft SMTP%sServer%s(version=TLS1_2,%scipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id%s15.2.1748.10",
		w.Helo, sp(), w.Client, sp(), m.By, sp(), sp(), sp(), sp(), sp(), sp())
	if m.IntN(2) == 0 {
		text += sp() + "via Frontend Transport"
	}
	return lines(text + "; Mon, 2 Nov 2026 10:00:00 +0000"), w
}

func (m Maker) domainOrLiteral() string {
	if m.IntN(3) == 0 {
		return "[198.51.100.9]"
	}
	return m.host()
}

func (m Maker) iis() ([]byte, Want) {
	w := Want{Client: m.addr(), By: m.By, Helo: m.domainOrLiteral()}
	over := []string{"", " over TLS secured channel"}[m.IntN(2)]
	return lines(fmt.Sprintf("Received: from %s ([%s]) by %s%s with Microsoft SMTPSVC(10.0.17763.1697);\n\t Mon, 2 Nov 2026 10:00:00 +0000", w.Helo, w.Client, m.By, over)), w
}

// qmail: safeput replaces all but a few characters, in the HELO name and in the
// ident answer; some builds keep brackets.
func (m Maker) qmail() ([]byte, Want) {
	w := Want{Client: m.addr(), By: m.By}
	safe := []string{".@%+/=:-", ".@%+/=:-_#[]"}[m.IntN(2)]
	name := m.host()
	w.Helo = name
	text := "Received: from " + name
	if m.IntN(3) > 0 {
		w.Helo = keep(m.Word(), safe, "?")
		text += " (HELO " + w.Helo + ")"
	}
	info := ""
	if m.IntN(3) == 0 {
		info = keep(m.Word(), safe, "?") + "@"
	}
	protocol, auth := m.with(true)
	w.Authenticated = auth
	if m.IntN(3) == 0 {
		protocol = "(TLS_AES_256_GCM_SHA384 encrypted) " + protocol
	}
	format := []string{" (%s%s)\n  by %s with %s; 2 Nov 2026 10:00:00 -0000", " (%s[%s])\n          (envelope-sender <x@y.example>)\n          by %s (qmail-ldap-1.03) with %s\n          for <x@y.example>; 2 Nov 2026 10:00:00 -0000"}[m.IntN(2)]
	return lines(text + fmt.Sprintf(format, info, w.Client, m.By, protocol)), w
}

// chasquid writes the first word behind EHLO as it came, and leaves the address
// of a submission out.
func (m Maker) chasquid() ([]byte, Want) {
	w := Want{Client: m.addr(), By: m.By}
	helo := "x"
	if words := strings.Fields(m.Word()); len(words) > 0 {
		helo = words[0]
	}
	w.Helo = Read(helo)
	protocol, auth := m.with(true)
	text := fmt.Sprintf("Received: from [%s] (%s)", literal(w.Client), helo)
	if auth {
		w = Want{By: m.By, Authenticated: true}
		text = "Received: from " + helo
	}
	return lines(fmt.Sprintf("%s\n\tby %s (chasquid) with %s\n\ttls TLS_AES_128_GCM_SHA256\n\t(over SMTP, TLS-1.3, envelope from %q)\n\t; %s", text, m.By, protocol, m.Word(), date)), w
}

// james writes all that follows HELO or EHLO as it came.
func (m Maker) james() ([]byte, Want) {
	w := Want{Client: m.addr(), By: m.By}
	name := m.host()
	w.Helo = name
	text := "Received: from " + name
	if m.IntN(4) > 0 {
		helo := strings.Trim(m.Word(), " \t")
		w.Helo = Read(helo)
		text += fmt.Sprintf(" (%s %s)%s", []string{"HELO", "EHLO"}[m.IntN(2)], helo, []string{"", " "}[m.IntN(2)])
	}
	protocol, auth := m.with(true)
	w.Authenticated = auth
	text += fmt.Sprintf(" ([%s])", w.Client)
	if m.IntN(2) == 0 {
		text += "\n          (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)"
	}
	text += fmt.Sprintf("\n          by %s (JAMES SMTP Server ) with %s ID 4711", m.By, protocol)
	if m.IntN(2) == 0 {
		text += "\n          for <" + m.Word() + ">"
	}
	return lines(text + ";\n          Mon, 02 Nov 2026 10:00:00 +0000 (UTC)"), w
}

func (m Maker) halon() ([]byte, Want) {
	w := Want{Client: m.addr(), By: m.By, Helo: m.domainOrLiteral()}
	protocol, auth := m.with(true)
	w.Authenticated = auth
	return lines(fmt.Sprintf("Received: from %s (%s [%s])\n\tby %s (Halon) with %s\n\tid 9163679e-1f01-11f1-b164-2bf370ae4941;\n\t%s", w.Helo, m.host(), w.Client, m.By, protocol, date)), w
}

// Field makes a field of any server.
func (m Maker) Field() (server string, field []byte, want Want) {
	form := Forms[m.IntN(len(Forms))]
	field, want = form.Write(m)
	return form.Server, field, want
}
