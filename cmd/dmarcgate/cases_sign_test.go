package main

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"dmarcgate/config"
	"dmarcgate/internal/dkimtest"
)

// testKeys are made once; making an RSA key takes long under the race
// detector.
var testKeys = sync.OnceValues(func() (map[string]dkimtest.Key, error) {
	r, err := dkimtest.RSA(1024)
	if err != nil {
		return nil, err
	}
	e, err := dkimtest.Ed25519()
	return map[string]dkimtest.Key{"rsa": r, "ed25519": e}, err
})

// oddKeys are the other keys that cases may name, each made when it is first
// used.
var oddKeys = map[string]func() (dkimtest.Key, error){
	"other":   sync.OnceValues(func() (dkimtest.Key, error) { return dkimtest.AnyRSA(1024) }),
	"rsa512":  sync.OnceValues(func() (dkimtest.Key, error) { return dkimtest.AnyRSA(512) }),
	"rsa2048": sync.OnceValues(func() (dkimtest.Key, error) { return dkimtest.AnyRSA(2048) }),
	"rsa4096": sync.OnceValues(func() (dkimtest.Key, error) { return dkimtest.AnyRSA(4096) }),
	"rsa8192": sync.OnceValues(func() (dkimtest.Key, error) { return dkimtest.AnyRSA(8192) }),
}

func testKey(t *testing.T, name string) dkimtest.Key {
	t.Helper()
	if odd := oddKeys[name]; odd != nil {
		k, err := odd()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	k, ok := keys[name]
	if !ok {
		t.Fatalf("no key is called %q", name)
	}
	return k
}

// hostName is what the daemon calls this host.
func hostName(t *testing.T) string {
	t.Helper()
	cfg, err := config.Parse("host", []byte("[[listener]]\nname = \"a\"\naddress = \"unix:/a\"\nprofile = \"strict\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg.HostName()
}

// signing is a message that the lines of a sign section work on, with CRLF.
type signing struct {
	t       *testing.T
	message []byte
	records string // zone text
	zone    string // what the case says itself
}

// signed returns the message that the sign section makes of the message
// section, and the zone text of the keys. docs/testing.md has the lines.
func (c *caseFile) signed(t *testing.T) (message []byte, zone string) {
	t.Helper()
	s := &signing{t: t, message: crlf(c.Sections["message"]), zone: c.Sections["zone"]}
	for line := range strings.Lines(c.Sections["sign"]) {
		if line = strings.TrimSpace(line); line != "" {
			s.line(line)
		}
	}
	return s.message, s.records
}

// crlf gives lines the end that they have in mail.
func crlf(text string) []byte {
	return []byte(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n"))
}

// line does what one line of the section says.
func (s *signing) line(line string) {
	s.t.Helper()
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "seal":
		s.seal(splitWords(s.t, rest))
	case "append":
		s.message = append(s.message, rest+"\r\n"...)
	case "top":
		s.message = append([]byte(rest+"\r\n"), s.message...)
	case "bottom":
		s.replace("\r\n\r\n", "\r\n"+rest+"\r\n\r\n", false)
	case "replace":
		words := splitWords(s.t, rest)
		if len(words) != 2 {
			s.t.Fatalf("sign line %q: want two words after replace", line)
		}
		s.replace(words[0], words[1], true)
	default:
		s.sign(splitWords(s.t, line))
	}
}

// replace replaces text, which is there once if it should be alone.
func (s *signing) replace(old, new string, alone bool) {
	s.t.Helper()
	if n := bytes.Count(s.message, []byte(old)); n == 0 || n > 1 && alone {
		s.t.Fatalf("the message has %q %d times; want once", old, n)
	}
	s.message = bytes.Replace(s.message, []byte(old), []byte(new), 1)
}

// splitWords cuts at spaces. Text in double quotes, with the escapes of Go,
// belongs to its word.
func splitWords(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	word, open := "", false
	for line != "" {
		switch c := line[0]; {
		case c == '"':
			q, err := strconv.QuotedPrefix(line)
			if err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
			text, _ := strconv.Unquote(q)
			word, open, line = word+text, true, line[len(q):]
			continue
		case c == ' ' && open:
			words, word, open = append(words, word), "", false
		case c != ' ':
			word, open = word+line[:1], true
		}
		line = line[1:]
	}
	if open {
		words = append(words, word)
	}
	return words
}

// order is a line that signs.
type order struct {
	key    string
	times  int
	secret bool // no key is published
	tags   []dkimtest.Tag
	behind []dkimtest.Tag // after b=
}

func tagAt(tags []dkimtest.Tag, name string) int {
	return slices.IndexFunc(tags, func(t dkimtest.Tag) bool { return t.Name == name })
}

// readOrder reads words: tags, which replace those that are there by default
// or join them, and what else docs/testing.md has.
func readOrder(t *testing.T, words []string) order {
	t.Helper()
	o := order{key: "rsa", times: 1, tags: []dkimtest.Tag{
		{Name: "v", Value: "1"}, {Name: "a"}, {Name: "c", Value: "relaxed/relaxed"}, {Name: "d", Value: "bank.example"},
		{Name: "s", Value: "s1"}, {Name: "h", Value: "from:subject"}, {Name: "bh"}, {Name: "b"},
	}}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		at := tagAt(o.tags, strings.Trim(name, " -"))
		switch {
		case !ok && word[0] == '-' && at >= 0:
			o.tags = slices.Delete(o.tags, at, at+1)
		case !ok:
			t.Fatalf("sign word %q is neither tag=value nor -tag", word)
		case name == "key":
			o.key = value
		case name == "record":
			o.secret = value == "none"
		case name == "times":
			o.times, _ = strconv.Atoi(value)
		case name[0] == '+':
			o.behind = append(o.behind, dkimtest.Tag{Name: name[1:], Value: value})
		case at >= 0:
			o.tags[at] = dkimtest.Tag{Name: name, Value: value}
		default:
			o.tags = slices.Insert(o.tags, len(o.tags)-2, dkimtest.Tag{Name: name, Value: value})
		}
	}
	return o
}

// sign puts signatures on top of the message.
func (s *signing) sign(words []string) {
	s.t.Helper()
	o := readOrder(s.t, words)
	k := testKey(s.t, o.key)
	if at := tagAt(o.tags, "a"); at >= 0 && o.tags[at].Value == "" {
		o.tags[at].Value = k.Kind() + "-sha256"
	}
	for range o.times {
		message, err := k.SignTags(s.message, append(o.tags, o.behind...))
		if err != nil {
			s.t.Fatal(err)
		}
		s.message = message
	}
	if !o.secret {
		s.publish(k, o.tags[tagAt(o.tags, "s")].Value, o.tags[tagAt(o.tags, "d")].Value)
	}
}

// seal puts the next set of an ARC chain on top of the message.
func (s *signing) seal(words []string) {
	s.t.Helper()
	key := "rsa"
	hop := dkimtest.Hop{Domain: "lists.example", Selector: "arc"}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		to := map[string]*string{"key": &key, "d": &hop.Domain, "s": &hop.Selector, "cv": &hop.CV, "results": &hop.Results}[name]
		if to == nil {
			s.t.Fatalf("seal word %q: want key=, d=, s=, cv= or results=", word)
		}
		*to = value
	}
	hop.Results = cmp.Or(hop.Results, hop.Domain+"; none")
	k := testKey(s.t, key)
	message, err := k.Seal(s.message, hop)
	if err != nil {
		s.t.Fatal(err)
	}
	s.message = message
	s.publish(k, hop.Selector, hop.Domain)
}

// publish adds the record of a key, unless the case's own zone says something
// of its name, or another signature has published it.
func (s *signing) publish(k dkimtest.Key, selector, domain string) {
	if !strings.Contains(s.zone+s.records, selector+"._domainkey."+domain) {
		s.records += k.Zone(selector, domain)
	}
}
