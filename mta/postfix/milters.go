package postfix

import (
	"fmt"
	"path"
	"strings"
)

// maxMilters bounds a list of milters: our limit; a host has fewer than ten.
const maxMilters = 100

// The characters that separate milters and settings (CHARS_COMMA_SP of Postfix).
const separators = ", \t\r\n"

// Milter is one milter of a list such as smtpd_milters.
type Milter struct {
	Address  string    // as Postfix has it: unix:PATH, inet:HOST:PORT, or $name in a value that is not expanded
	Settings []Setting // in their order; Postfix 3.0 and later
}

// Setting is a setting in the braces of a milter, such as default_action=accept.
type Setting struct{ Name, Value string }

// Setting returns the value of a setting, and whether there is one. Of several
// with the same name the last is effective.
func (m Milter) Setting(name string) (value string, ok bool) {
	for _, s := range m.Settings {
		if s.Name == name {
			value, ok = s.Value, true
		}
	}
	return value, ok
}

// String writes the milter as ParseMilters reads it.
func (m Milter) String() string {
	if len(m.Settings) == 0 {
		return m.Address
	}
	parts := []string{m.Address}
	for _, s := range m.Settings {
		text := s.Name + "=" + s.Value
		if strings.ContainsAny(s.Value, separators+"{}") {
			text = "{ " + s.Name + " = " + s.Value + " }"
		}
		parts = append(parts, text)
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// FormatMilters writes a list as ParseMilters reads it.
func FormatMilters(list []Milter) string {
	texts := make([]string, len(list))
	for i, m := range list {
		texts[i] = m.String()
	}
	return strings.Join(texts, ", ")
}

// ParseMilters splits the value of a parameter such as smtpd_milters as
// milter_create of Postfix does: milters are separated by commas and white space
// outside of braces, and a milter in braces begins with its address. An error is
// one that Postfix would end with.
func ParseMilters(value string) ([]Milter, error) {
	var list []Milter
	for _, word := range split(value) {
		if len(list) == maxMilters {
			return nil, fmt.Errorf("more than %d milters", maxMilters)
		}
		m, err := parseMilter(word)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

func parseMilter(word string) (Milter, error) {
	if !strings.HasPrefix(word, "{") {
		if strings.Contains(word, "{") && !(strings.HasPrefix(word, "$") && closed(word)) {
			return Milter{}, fmt.Errorf("%q is not the address of a milter", word)
		}
		return Milter{Address: word}, nil
	}
	inner, err := unbrace(word)
	if err != nil {
		return Milter{}, err
	}
	inner = strings.TrimLeft(inner, separators)
	end := strings.IndexAny(inner, separators)
	if end < 0 {
		end = len(inner)
	}
	m := Milter{Address: inner[:end]}
	if m.Address == "" || strings.Contains(m.Address, "{") {
		return Milter{}, fmt.Errorf("the milter %q in braces does not begin with an address", word)
	}
	for _, text := range split(inner[end:]) {
		s, err := parseSetting(text)
		if err != nil {
			return Milter{}, err
		}
		m.Settings = append(m.Settings, s)
	}
	return m, nil
}

// parseSetting reads name=value or { name = value } (attr_override and
// split_nameval of Postfix).
func parseSetting(text string) (Setting, error) {
	if strings.HasPrefix(text, "{") {
		inner, err := unbrace(text)
		if err != nil {
			return Setting{}, err
		}
		text = inner
	}
	name, value, found := strings.Cut(text, "=")
	s := Setting{trim(name), trim(value)}
	if !found || s.Name == "" || strings.ContainsAny(s.Name, " \t\r\n{},") {
		return Setting{}, fmt.Errorf("the setting %q of a milter is not name=value", text)
	}
	return s, nil
}

// unbrace returns what stands between the braces of a text that begins with one.
func unbrace(text string) (string, error) {
	level := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			level++
		case '}':
			level--
		}
		if level == 0 {
			if i+1 < len(text) {
				return "", fmt.Errorf("text after '}' in %q", text)
			}
			return trim(text[1:i]), nil
		}
	}
	return "", fmt.Errorf("missing '}' in %q", text)
}

// closed reports whether each brace of a word is closed, so that what follows the
// word is not taken for a part of it.
func closed(word string) bool {
	words := split(word + " x")
	return len(words) == 2
}

func trim(text string) string { return strings.Trim(text, " \t\r\n\v\f") }

// split returns the words between separators that stand outside of braces
// (mystrtokq of Postfix).
func split(text string) []string {
	var words []string
	level, start := 0, -1
	for i := range len(text) {
		c := text[i]
		if level == 0 && strings.IndexByte(separators, c) >= 0 {
			if start >= 0 {
				words = append(words, text[start:i])
			}
			start = -1
			continue
		}
		if start < 0 {
			start = i
		}
		switch {
		case c == '{':
			level++
		case c == '}' && level > 0:
			level--
		}
	}
	if start >= 0 {
		words = append(words, text[start:])
	}
	return words
}

// Socket returns where a milter listens, as seen from outside of a chroot: "unix"
// and an absolute path, or "tcp" and host:port. A relative path is below the queue
// directory, an absolute one too for a chrooted process. ok is false for an address
// of another form.
func (m Milter) Socket(queueDir string, chroot bool) (network, address string, ok bool) {
	kind, rest, found := strings.Cut(m.Address, ":")
	if !found || rest == "" {
		return "", "", false
	}
	switch kind {
	case "unix", "local":
		if chroot || !strings.HasPrefix(rest, "/") {
			rest = path.Join(queueDir, rest)
		}
		return "unix", rest, true
	case "inet":
		return "tcp", rest, true
	}
	return "", "", false
}
