package message

import (
	"errors"
	"io"
	"mime"
	"strings"
)

// loneDomain returns the domain of the address at the end of a From field that
// has one address in every reading, and false for every other field. Mail
// readers take separators in a bare display name for what they are, or for a
// part of the name ("News: Company <a@x.example>"); but a text with one "@" has
// one address at most, and where that stands in angle brackets at the end, no
// reader sees another one (RFC 9989, Section 5.3.1).
//
// What stands before the address must hold no address in any reading: no
// further "@", none in an encoded-word, no control byte, no quoted-string or
// comment without end. The charset ISO-2022-JP is the exception that Japanese
// mail needs: raw text in it has escape sequences, and its bytes may look like
// any sign; they hold no address if they hold none as they stand.
func loneDomain(text string) (string, bool) {
	name, addr, ok := cutAddress(unfold(text))
	if !ok {
		return "", false
	}
	local, domain, ok := strings.Cut(addr, "@")
	if !ok || !isDotAtom(local) {
		return "", false
	}
	domain, err := ParseDomain(domain)
	if err != nil {
		return "", false
	}
	name, japanese, ok := cutJapanese(name)
	if !ok || !isPlainName(name) || addressLike(japanese) {
		return "", false
	}
	return domain, true
}

// cutAddress cuts a field into a display name and the address at its end, with
// or without angle brackets. Nothing but white space may follow.
func cutAddress(text string) (name, addr string, ok bool) {
	text = strings.TrimRight(text, " \t")
	if inner, angle := strings.CutSuffix(text, ">"); angle {
		i := strings.LastIndexByte(inner, '<')
		return inner[:max(i, 0)], inner[i+1:], i >= 0
	}
	i := strings.LastIndexAny(text, " \t:")
	// Words before a comma or semicolon may be mailboxes of this host.
	return text[:i+1], text[i+1:], !strings.ContainsAny(text, ",;")
}

// isDotAtom reports whether s is a local-part that every reader takes as it
// stands (RFC 5322, Section 3.2.3).
func isDotAtom(s string) bool {
	for word := range strings.SplitSeq(s, ".") {
		if word == "" {
			return false
		}
		for i := range len(word) {
			if !isAtomByte(word[i]) || strings.IndexByte(`[]\)`, word[i]) >= 0 {
				return false
			}
		}
	}
	return true
}

// isPlainName reports whether a display name, in whatever way its quotes,
// comments, separators and encoded-words are read, holds no address.
func isPlainName(name string) bool {
	for i := range len(name) {
		if isControl(name[i]) && name[i] != '\t' {
			return false
		}
	}
	s := scanner{text: name}
	for s.next().kind != end {
	}
	return !s.broken && !hasAt(name) && !hasAt(decodeWords(name))
}

// hasAt reports whether text has an "@", or a sign that a reader may fold to
// one (UTS 46 and NFKC: small and fullwidth commercial at).
func hasAt(text string) bool { return strings.ContainsAny(text, "@\ufe6b\uff20") }

// decodeWords decodes encoded-words (RFC 2047), their bytes as they are. A text
// in which one cannot be decoded becomes "@": what a reader sees is not known.
func decodeWords(text string) string {
	if !strings.Contains(text, "=?") {
		return text
	}
	d := mime.WordDecoder{CharsetReader: rawCharset}
	out, err := d.DecodeHeader(text)
	if err != nil || strings.Count(out, "=?") > 0 && strings.Count(out, "?") >= 4 {
		return "@"
	}
	return out
}

// rawCharset lets text in a charset in which an "@" is the byte 0x40 through
// as it stands. In UTF-7, EBCDIC and others that are not named here an "@" is
// written otherwise.
func rawCharset(charset string, text io.Reader) (io.Reader, error) {
	for _, family := range asciiCharsets {
		if strings.HasPrefix(strings.ToLower(charset), family) {
			return text, nil
		}
	}
	return nil, errors.New("a charset that is not known")
}

var asciiCharsets = [...]string{"iso-8859-", "iso-2022-", "windows-125", "koi8-", "gb", "big5", "euc-", "shift_jis", "ks_c_5601"}

// cutJapanese takes the double-byte text of ISO-2022-JP (RFC 1468) out of a
// name, and returns it with the name. It is false for an escape sequence of
// another kind and for text without end.
func cutJapanese(name string) (rest string, japanese []string, ok bool) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(name, "\x1b")
		b.WriteString(before)
		if !found {
			return b.String(), japanese, true
		}
		if after, found = cutAnyPrefix(after, "$B", "$@", "$(D"); !found {
			return "", nil, false
		}
		text, after, found := strings.Cut(after, "\x1b")
		if found {
			name, found = cutAnyPrefix(after, "(B", "(J")
		}
		if !found {
			return "", nil, false
		}
		japanese = append(japanese, text)
	}
}

func cutAnyPrefix(s string, prefixes ...string) (string, bool) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(s, p); ok {
			return rest, true
		}
	}
	return s, false
}

// addressLike reports whether a reader that does not know ISO-2022-JP may see
// an address in one of the texts: an "@" before a name with a dot, or before
// one that what follows the text may continue.
func addressLike(texts []string) bool {
	for _, text := range texts {
		for {
			_, after, found := strings.Cut(text, "@")
			if !found {
				break
			}
			name := strings.TrimLeftFunc(after, isNameRune)
			label := after[:len(after)-len(name)]
			if name == "" || strings.Contains(strings.Trim(label, "."), ".") {
				return true
			}
			text = after
		}
	}
	return false
}

func isNameRune(r rune) bool {
	return r > '~' || r == '.' || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z'
}
