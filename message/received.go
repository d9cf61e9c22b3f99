package message

import (
	"bytes"
	"net/netip"
	"regexp"
	"strings"
)

// Limits of what is read of a Received field.
const (
	// maxReceived is how many bytes are looked at: our limit, what libmilter
	// takes in one piece (MILTER_CHUNK_SIZE). HELO, the longest thing of a
	// client that stands before the name of the server, has 2 KiB in Postfix
	// (line_length_limit) and 16 KiB in Exim (SMTP_CMD_BUFFER_SIZE).
	maxReceived = 64 << 10

	// maxHelo is how much of a HELO name is kept: RFC 5321, Section 4.5.3.1.2.
	// What is longer is no domain, and neither is what is left of it.
	maxHelo = 255

	// minBroken is the length of a line from which on the fold behind it may be
	// one that a server put into a word: Postfix breaks lines of 998 bytes or of
	// 990 (smtp_line_length_limit), Sendmail of 990 (L= of its mailers).
	minBroken = 980
)

// Received is what a server wrote about the client that gave it a message.
type Received struct {
	// Helo is the client's own word, up to the first space or parenthesis in
	// it, and at most 255 bytes of it. Where a server writes no other it is the
	// client's verified name or its address in brackets.
	Helo string
	// Client has no zone, and IPv4 never in IPv6 form. It is zero only where
	// Authenticated is set: some servers hide the address of a submission.
	Client netip.Addr
	By     string // name of the server, as ParseDomain gives it
	// Authenticated tells that the client gave SMTP AUTH credentials: the word
	// behind "with" says so (RFC 3848), never a comment.
	Authenticated bool
}

// ParseReceived reads a Received field as the servers listed in
// docs/operations.md write it for a message that came over SMTP. It is false
// for every other form. Who wrote the field, it does not know; the caller must.
//
// HELO name, name in the reverse DNS, ident answer, certificate, sender and
// recipient are the client's choice. Of a field that one of those servers
// wrote, they change nothing but Helo: address, name of the server and
// authentication are taken from places that the server fills, see formOf.
func ParseReceived(f Field) (Received, bool) {
	from, by, anchored := splitBy(receivedText(f))
	name, tail := cutServer(by)
	server, err := ParseDomain(name)
	if err != nil {
		return Received{}, false
	}
	r := Received{By: server, Authenticated: authenticates(protocol(tail))}
	if !anchored && secondClient(tail) {
		return Received{}, false
	}
	if r.Authenticated && hidesClient(from, tail) {
		return r, true
	}
	words, ok := strings.CutPrefix(from, "from ")
	if !ok {
		return Received{}, false
	}
	read := formOf(words, tail)
	if !read(&r, words, anchored) {
		return Received{}, false
	}
	r.Helo = r.Helo[:min(len(r.Helo), maxHelo)]
	return r, true
}

// receivedText returns the value of a field with each fold as a line feed and
// every other run of white space as a space, up to maxReceived bytes. Other
// control bytes, which Exim may take from a HELO name, are question marks.
func receivedText(f Field) string {
	s := f.Body()
	if len(s) > maxReceived {
		s = s[:maxReceived]
	}
	out := make([]byte, 0, len(s))
	line := len(f.Name) + len(":")
	for i := 0; i < len(s); i++ {
		n := foldAt(s[i:])
		switch {
		case n > 0 && line >= minBroken && isBroken(s[i+n:]):
			i += n // the line break and its one space
			line = len(" ")
		case n > 0:
			out = append(trimSpaces(out), '\n')
			i += n - 1
			line = 0
		case s[i] == ' ' || s[i] == '\t':
			if n := len(out); n > 0 && out[n-1] != ' ' && out[n-1] != '\n' {
				out = append(out, ' ')
			}
			line++
		default:
			out = append(out, visible(s[i]))
			line++
		}
	}
	return strings.Trim(string(out), " \n")
}

// isBroken reports whether what follows a line break looks like the rest of a
// word: one space, and no white space behind it.
func isBroken(s string) bool {
	return len(s) > 1 && s[0] == ' ' && !strings.ContainsRune(" \t\r\n", rune(s[1]))
}

func trimSpaces(b []byte) []byte { return bytes.TrimRight(b, " \n") }

func visible(c byte) byte {
	if isControl(c) {
		return '?'
	}
	return c
}

// splitBy splits a text before the name of the server, which follows "by".
//
// No client can put a line break into what it says, and most servers begin a
// line with "by". So the first such line is the server's, whatever stands before
// it: then anchored is true. Exchange and the SMTP service of IIS write on;
// there "by" must be the next word behind the client and its comments.
func splitBy(text string) (from, by string, anchored bool) {
	if m := rcvByLine.FindStringIndex(text); m != nil {
		return strings.TrimRight(text[:m[0]], " \n"), text[m[1]:], true
	}
	at := 0
	if strings.HasPrefix(text, "from ") {
		word := rcvWord.FindString(text[len("from "):])
		at = len("from ") + len(word)
		comments, ok := cutComments(text[at:])
		if !ok {
			return "", "", false
		}
		at += len(comments)
	}
	if m := rcvBy.FindString(text[at:]); m != "" {
		return text[:at], text[at+len(m):], false
	}
	return "", "", false
}

var (
	rcvByLine = regexp.MustCompile(`(?:^|\n)by[ \n]`)
	rcvBy     = regexp.MustCompile(`^[ \n]by[ \n]`)
	rcvWord   = regexp.MustCompile(`^[^\s()]+`)
	rcvServer = regexp.MustCompile(`^[^\s();]+`)
)

// cutServer cuts the name of the server off.
func cutServer(by string) (name, tail string) {
	name = rcvServer.FindString(by)
	return name, by[len(name):]
}

// cutComments returns the comments that s begins with, with the white space
// between them. It is false when one does not end.
func cutComments(s string) (comments string, ok bool) {
	rest := s
	for {
		next := strings.TrimLeft(rest, " \n")
		if !strings.HasPrefix(next, "(") {
			return s[:len(s)-len(rest)], true
		}
		n := commentLength(next)
		if n == 0 {
			return "", false
		}
		rest = next[n:]
	}
}

// commentLength returns the length of the comment that s begins with, and 0
// when it does not end. Postfix and Sendmail see to it that the parentheses of
// a comment come in pairs, and quotes mean nothing to them.
func commentLength(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// protocol returns the word behind "with" in what follows the name of the
// server: comments and "via" may stand before it (RFC 5321, Section 4.4), and
// nothing else.
func protocol(tail string) string {
	for {
		comments, ok := cutComments(tail)
		if !ok {
			return ""
		}
		tail = strings.TrimLeft(tail[len(comments):], " \n")
		word, rest := cutWord(tail)
		switch strings.ToLower(word) {
		case "via":
			_, tail = cutWord(rest)
		case "with":
			comments, _ := cutComments(rest) // qmail: "with (cipher encrypted) ESMTPS"
			word, _ = cutWord(rest[len(comments):])
			return word
		default:
			return ""
		}
	}
}

// cutWord cuts the first word off, and the white space before it.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \n")
	word = rcvServer.FindString(s)
	return word, s[len(word):]
}

// authenticates reports whether a protocol is one with SMTP AUTH: RFC 3848, RFC
// 6531, Section 4.3, and what Exim wrote before.
func authenticates(protocol string) bool {
	switch strings.ToUpper(protocol) {
	case "ESMTPA", "ESMTPSA", "LMTPA", "LMTPSA", "UTF8SMTPA", "UTF8SMTPSA", "UTF8LMTPA", "UTF8LMTPSA", "ASMTP", "ASMTPS":
		return true
	}
	return false
}

// hidesClient reports whether a server left the client of a submission out:
// Postfix with smtpd_hide_client_session begins with "by", chasquid has the
// HELO name alone.
func hidesClient(from, tail string) bool {
	if from == "" {
		return true
	}
	words, ok := strings.CutPrefix(from, "from ")
	return ok && wrote("(chasquid)", tail) && !strings.ContainsAny(words, " \n")
}

// wrote reports whether a server names itself, in a comment behind its name.
func wrote(product, tail string) bool {
	return strings.HasPrefix(strings.TrimLeft(tail, " \n"), product)
}

// secondClient reports whether what follows the server speaks of a client or of
// a server again. On one line, a HELO name that an unknown server wrote without
// a look at it may hold all that stands before.
func secondClient(tail string) bool {
	tail = rcvQuoted.ReplaceAllString(tail, `""`)
	return rcvClient.MatchString(tail) || rcvMoreBy.MatchString(tail)
}

var (
	rcvMoreBy = regexp.MustCompile(`(?:^|[\s)])by\s`)
	rcvQuoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	// A comment such as servers write about a client.
	rcvClient = regexp.MustCompile(`\((?:[^\s()]+[ @])?\[(?:IPv6:)?[0-9A-Fa-f:.]+\][^\[\]]*\)|\((?:helo|ident|port)=`)
)
