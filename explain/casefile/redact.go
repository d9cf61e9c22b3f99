package casefile

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"dmarcgate/message"
	"dmarcgate/policy"
)

// redactor takes out of a message what is nobody's business: local parts,
// names and text. The same local part becomes the same placeholder everywhere,
// so that the copy still shows which addresses are the same.
type redactor struct{ locals, lists []string }

// kept fields say how the message was authenticated; only their local parts go.
var kept = []string{
	"Date", "MIME-Version", "DKIM-Signature", "ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results",
	"Authentication-Results", "Received-SPF", "Precedence", "Auto-Submitted",
}

// addressed fields keep their structure: every word that is not of a domain
// goes.
var addressed = []string{
	"From", "Sender", "To", "Cc", "Bcc", "Reply-To", "Return-Path", "Delivered-To", "X-Original-To", "Errors-To",
	"Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc",
}

const redacted = "redacted"

// letter returns a copy without what is private. Received fields stay when the
// client was read from them.
func (r *redactor) letter(m Letter, f policy.Facts) Letter {
	env := *m.Env
	env.MailFrom, env.Rcpts = r.address(env.MailFrom), nil
	for _, rcpt := range m.Env.Rcpts {
		env.Rcpts = append(env.Rcpts, r.address(rcpt))
	}
	if env.Authenticated != "" {
		env.Authenticated = redacted
	}
	out := Letter{Env: &env}
	relayed := f.Relay.IsValid() || f.Skip == policy.BehindRelay // so in rows of older programs
	for _, raw := range m.Header {
		out.Header = append(out.Header, r.field(raw, relayed))
	}
	if len(m.Body) > 0 {
		out.Body = []byte(redacted + "\r\n")
	}
	return out
}

// field keeps what stands before the colon, byte for byte.
func (r *redactor) field(raw []byte, relayed bool) []byte {
	name, value, ok := bytes.Cut(raw, []byte(":"))
	if !ok {
		return raw
	}
	is := func(list []string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, message.NewField(raw).Name) })
	}
	text := strings.TrimRight(string(value), "\r\n")
	switch {
	case is([]string{"DKIM-Signature", "ARC-Message-Signature"}):
		text = r.tagged(withoutCopies(text))
	case is(kept), relayed && is([]string{"Received"}):
		text = r.tagged(text)
	case is(addressed):
		text = r.words(text)
	case is([]string{"List-Id"}):
		text = r.listID(raw)
	case is([]string{"Message-ID"}):
		text = " <" + redacted + "@redacted.example>"
	default:
		text = " " + redacted
	}
	return []byte(string(name) + ":" + text + "\r\n")
}

// withoutCopies empties z=, which holds header fields as they were signed (RFC
// 6376, Section 3.5).
func withoutCopies(list string) string {
	tags := strings.Split(list, ";")
	for i, tag := range tags {
		if name, _, ok := strings.Cut(tag, "="); ok && strings.TrimSpace(name) == "z" {
			tags[i] = name + "=" + redacted + ":"
		}
	}
	return strings.Join(tags, ";")
}

// placeholder returns the one of a local part.
func (r *redactor) placeholder(local string) string {
	i := slices.Index(r.locals, local)
	if i < 0 {
		i = len(r.locals)
		r.locals = append(r.locals, local)
	}
	return fmt.Sprintf("local-%d", i+1)
}

// listID keeps the domain of a list, which rules can name. The name of the list
// becomes a placeholder, the same everywhere.
func (r *redactor) listID(raw []byte) string {
	domain := message.ParseClaims(message.Header{message.NewField(raw)}).ListID
	if domain == "" {
		return " " + redacted
	}
	id := strings.ToLower(string(raw[bytes.LastIndexByte(raw, '<')+1:]))
	i := slices.Index(r.lists, id)
	if i < 0 {
		i = len(r.lists)
		r.lists = append(r.lists, id)
	}
	return fmt.Sprintf(" <list-%d.%s>", i+1, domain)
}

// address redacts one of the envelope: all before the last "@" is its local
// part, but for a source route.
func (r *redactor) address(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		if s == "" {
			return ""
		}
		return r.placeholder(s)
	}
	local, route := s[:at], ""
	if colon := strings.LastIndexByte(local, ':'); strings.HasPrefix(local, "@") && colon >= 0 {
		route, local = local[:colon+1], local[colon+1:]
	}
	if local == "" {
		return s
	}
	return route + r.placeholder(local) + s[at:]
}

// login is a name in Authentication-Results, and what Postfix writes of it in
// Received.
var login = regexp.MustCompile(`(?i)(\bsmtp\.auth=|Authenticated sender: )[^\s;)]+`)

// special characters end a word of an address.
const special = " \t\r\n<>(),;:\"[]\\"

// tagged redacts what stands before each "@", up to the "=" of a tag or a
// property.
func (r *redactor) tagged(s string) string {
	s = login.ReplaceAllString(s, "${1}"+redacted)
	return r.eachAt(s, func(local string) string {
		tag, rest, ok := strings.Cut(local, "=")
		if !ok {
			return r.placeholder(local)
		}
		if rest == "" { // the identity has no local part
			return local
		}
		return tag + "=" + r.placeholder(rest)
	})
}

// eachAt replaces the word, or the quoted string, before each "@".
func (r *redactor) eachAt(s string, replace func(string) string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(s, '@')
		if at < 0 {
			b.WriteString(s)
			return b.String()
		}
		start := strings.LastIndexAny(s[:at], special) + 1
		if at > 0 && s[at-1] == '"' {
			if open := strings.LastIndexByte(s[:at-1], '"'); open >= 0 {
				start = open
			}
		}
		b.WriteString(s[:start])
		if local := s[start:at]; local != "" {
			b.WriteString(replace(local))
		}
		b.WriteByte('@')
		s = s[at+1:]
	}
}

// words redacts every word but those of domains: names, comments and encoded
// words too. What is left has the marks of the original, so that it is read as
// the original is.
func (r *redactor) words(s string) string {
	var b strings.Builder
	for s != "" {
		end := strings.IndexAny(s, special+"@")
		if end < 0 {
			end = len(s)
		}
		word := s[:end]
		switch {
		case word == "":
			end = 1
			b.WriteByte(s[0])
			if s[0] == '@' {
				domain := strings.IndexAny(s[1:], special+"@")
				if domain < 0 {
					domain = len(s) - 1
				}
				b.WriteString(s[1 : 1+domain])
				end += domain
			}
		case end < len(s) && s[end] == '@':
			b.WriteString(r.placeholder(word))
		default:
			b.WriteString("x")
		}
		s = s[end:]
	}
	return b.String()
}
