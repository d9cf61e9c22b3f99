package arc

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	mail "dmarcgate/message"
)

// sealer is a key that seals messages. Canonicalization is that of the text of
// the RFCs, over whole fields and bodies, and shares nothing with what is
// tested.
type sealer struct {
	signer crypto.Signer
	alg    string
	record string
}

func newRSA(bits int) sealer {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		panic(err)
	}
	return sealer{k, "rsa-sha256", "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)}
}

var (
	rsaSealer = sync.OnceValue(func() sealer { return newRSA(1024) })
	edSealer  = sync.OnceValue(func() sealer {
		k := ed25519.NewKeyFromSeed([]byte("a seed that is no secret to you."))
		return sealer{k, "ed25519-sha256", "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(k.Public().(ed25519.PublicKey))}
	})
)

func (s sealer) sign(t testing.TB, data string) string {
	t.Helper()
	sum, opts := sha256.Sum256([]byte(data)), crypto.SignerOpts(crypto.SHA256)
	if s.alg == "ed25519-sha256" {
		opts = crypto.Hash(0) // RFC 8463, Section 3: the hash is the message
	}
	b, err := s.signer.Sign(rand.Reader, sum[:], opts)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// hop is one set to be added. The zero values mean what most tests want.
type hop struct {
	by       sealer // rsaSealer without one
	domain   string // of both signatures, "relay.example" when empty
	selector string // of the seal, "s" when empty
	alg      string // a= of the message signature, right when empty
	message  string // selector of the message signature, as that of the seal when empty
	canon    string // c=, "relaxed/relaxed" when empty
	names    string // h=, "from:subject" when empty
	tags     string // more tags of the message signature, with their ";"
	sealed   string // more tags of the seal, with their ";"
	cv       string // right when empty
	instance string // of all three, the next when empty
	payload  string // of the results, " relay.example; dmarc=pass" when empty
}

// letter is a message on its way.
type letter struct {
	header []string // raw fields, top first
	body   string
	sets   [][]string // in relaxed form: results, message signature, seal
}

func newLetter() *letter {
	return &letter{
		header: []string{"From: a@example.com\r\n", "To: b@receiver.example\r\n", "Subject: hello\r\n"},
		body:   "Hello,\r\nworld.\r\n",
	}
}

func (l *letter) text() string { return strings.Join(l.header, "") + "\r\n" + l.body }

var (
	blanks = regexp.MustCompile(`[ \t]+`)
	unfold = strings.NewReplacer("\r\n ", " ", "\r\n\t", "\t")
)

func relaxedField(raw string) string {
	name, value, _ := strings.Cut(raw, ":")
	words := strings.FieldsFunc(unfold.Replace(strings.TrimSuffix(value, "\r\n")), func(r rune) bool { return r == ' ' || r == '\t' })
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" + strings.Join(words, " ") + "\r\n"
}

func canonicalBody(relaxed bool, body string) string {
	if relaxed {
		lines := strings.Split(body, "\r\n")
		for i, line := range lines {
			lines[i] = strings.TrimRight(blanks.ReplaceAllString(line, " "), " ")
		}
		body = strings.Join(lines, "\r\n")
	}
	for strings.HasSuffix(body, "\r\n") {
		body = strings.TrimSuffix(body, "\r\n")
	}
	if relaxed && body == "" {
		return ""
	}
	return body + "\r\n"
}

func (h hop) defaults(n int) hop {
	or := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	if h.by.signer == nil {
		h.by = rsaSealer()
	}
	or(&h.domain, "relay.example")
	or(&h.selector, "s")
	or(&h.message, h.selector)
	or(&h.alg, h.by.alg)
	or(&h.canon, "relaxed/relaxed")
	or(&h.names, "from:subject")
	or(&h.instance, fmt.Sprint(n))
	or(&h.payload, " relay.example; dmarc=pass")
	or(&h.cv, map[bool]string{true: "none", false: "pass"}[n == 1])
	return h
}

// seal adds a set on top.
func (l *letter) seal(t testing.TB, h hop) *letter {
	t.Helper()
	h = h.defaults(len(l.sets) + 1)
	results := fmt.Sprintf("ARC-Authentication-Results: i=%s;%s\r\n", h.instance, h.payload)

	head, body, _ := strings.Cut(h.canon, "/")
	bh := sha256.Sum256([]byte(canonicalBody(body == "relaxed", l.body)))
	message := fmt.Sprintf("ARC-Message-Signature: i=%s; a=%s; c=%s; d=%s; s=%s;\r\n h=%s; %sbh=%s;\r\n b=", h.instance, h.alg, h.canon,
		h.domain, h.message, h.names, h.tags, base64.StdEncoding.EncodeToString(bh[:]))
	message += h.by.sign(t, l.signed(head == "relaxed", h.names)+form(head == "relaxed", message)) + "\r\n"

	seal := fmt.Sprintf("ARC-Seal: i=%s; a=%s; cv=%s; d=%s; s=%s; %s\r\n b=", h.instance, h.by.alg, h.cv, h.domain, h.selector, h.sealed)
	var data strings.Builder
	for _, set := range l.sets {
		data.WriteString(strings.Join(set, ""))
	}
	data.WriteString(relaxedField(results) + relaxedField(message) + form(true, seal))
	seal += h.by.sign(t, data.String()) + "\r\n"

	l.sets = append(l.sets, []string{relaxedField(results), relaxedField(message), relaxedField(seal)})
	l.header = append([]string{seal, message, results}, l.header...)
	return l
}

// form is a field that ends in "b=", without its line end.
func form(relaxed bool, raw string) string {
	if relaxed {
		return strings.TrimSuffix(relaxedField(raw+"\r\n"), "\r\n")
	}
	return raw
}

// signed returns what h= names, from the lowest field of each name up.
func (l *letter) signed(relaxed bool, names string) string {
	var data strings.Builder
	used := make(map[int]bool)
	for _, name := range strings.Split(names, ":") {
		for i := len(l.header) - 1; i >= 0; i-- {
			if used[i] || !strings.EqualFold(mail.NewField([]byte(l.header[i])).Name, name) {
				continue
			}
			used[i] = true
			if relaxed {
				data.WriteString(relaxedField(l.header[i]))
			} else {
				data.WriteString(l.header[i])
			}
			break
		}
	}
	return data.String()
}

// sealed adds n sets of one sealer.
func (l *letter) sealed(t testing.TB, n int) *letter {
	for range n {
		l.seal(t, hop{})
	}
	return l
}

// replace changes the topmost field of a name.
func (l *letter) replace(name, old, new string) *letter {
	for i, f := range l.header {
		if strings.HasPrefix(f, name+":") {
			if !strings.Contains(f, old) {
				panic(fmt.Sprintf("%q is not in %q", old, f))
			}
			l.header[i] = strings.Replace(f, old, new, 1)
			return l
		}
	}
	panic("no field " + name)
}

// remove takes the topmost field of a name away and returns it.
func (l *letter) remove(name string) string {
	for i, f := range l.header {
		if strings.HasPrefix(f, name+":") {
			l.header = append(l.header[:i:i], l.header[i+1:]...)
			return f
		}
	}
	panic("no field " + name)
}

// top adds fields as they are.
func (l *letter) top(fields ...string) *letter {
	l.header = append(fields, l.header...)
	return l
}

func TestSealCanonicalization(t *testing.T) {
	if got, want := relaxedField("A : X\r\n\tY \t Z  \r\n"), "a:X Y Z\r\n"; got != want {
		t.Errorf("relaxedField() = %q; want %q", got, want)
	}
	if got, want := canonicalBody(true, " C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n"; got != want {
		t.Errorf("canonicalBody() = %q; want %q", got, want)
	}
	if !bytes.Equal([]byte(canonicalBody(false, "")), []byte("\r\n")) || canonicalBody(true, "\r\n") != "" {
		t.Error("canonicalBody() of nothing: want a CRLF when simple, and nothing when relaxed")
	}
}
