package mail

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	gomsgauth "github.com/emersion/go-msgauth/dkim"

	"dmarcgate/auth/dkim"
	"dmarcgate/internal/dnstest"
	"dmarcgate/message"
)

var update = flag.Bool("update", false, "write testdata/report.eml and its case")

// sample is a report as the queue hands it over.
func sample() Message {
	var body bytes.Buffer
	z, err := gzip.NewWriterLevel(&body, gzip.NoCompression) // the same bytes in every release of Go
	if err != nil {
		panic(err)
	}
	io.WriteString(z, strings.Repeat("<feedback>not compressible: 3k9f8a</feedback>\n", 40))
	z.Close()
	day := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	return Message{
		Organization: `Receiver "Example" GmbH`,
		From:         "dmarc@reports.receiver.example",
		To:           "rua@bank.example",
		Submitter:    "receiver.example",
		PolicyDomain: "bank.example",
		Begin:        day,
		End:          day.AddDate(0, 0, 1),
		ID:           "0123456789abcdef0123456789abcdef",
		Body:         body.Bytes(),
		Date:         time.Date(2025, 6, 2, 1, 2, 3, 0, time.UTC),
	}
}

// keys are an Ed25519 and an RSA key that are always the same.
func keys(t testing.TB) []*Key {
	t.Helper()
	var out []*Key
	for _, name := range []string{"ed25519", "rsa"} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		signer, err := parseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, &Key{"reports.receiver.example", name, signer})
	}
	return out
}

// zone has the key records of keys.
func zone(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, k := range keys(t) {
		record, err := k.Record()
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(k.Selector + "._domainkey." + k.Domain + ". TXT")
		for len(record) > 0 {
			n := min(len(record), 200)
			b.WriteString(` "` + strings.ReplaceAll(record[:n], ";", `\;`) + `"`)
			record = record[n:]
		}
		b.WriteString("\n")
	}
	return b.String()
}

func text(t testing.TB, m Message, keys ...*Key) []byte {
	t.Helper()
	out, err := m.Text(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTextIsTheSameMailWheneverItIsMade(t *testing.T) {
	got := text(t, sample(), keys(t)...)
	path := filepath.Join("testdata", "report.eml")
	if *update {
		write(t, path, got)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("Text() differs from %s, which an earlier run wrote:\n%s", path, got)
	}
	local := sample()
	zone := time.FixedZone("NZDT", 13*3600)
	local.Begin, local.End, local.Date = local.Begin.In(zone), local.End.In(zone), local.Date.In(zone)
	if !bytes.Equal(text(t, local, keys(t)...), want) {
		t.Error("Text() depends on the time zone of its times")
	}
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The case of the daemon that takes our own mail as any other has this mail.
func TestTextIsTheMailOfTheCase(t *testing.T) {
	const path = "../../cmd/dmarcgate/testdata/cases/report-mail-of-our-own.txt"
	want := `Mail with a report passes by two signatures of its own domain (RFC 9990, Section 3.5.2).

-- envelope --
mail_from <b+aaaaaaaaaaaaaaaaaaaa@reports.receiver.example>
-- zone --
reports.receiver.example. TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.reports.receiver.example. TXT "v=DMARC1; p=reject; adkim=s; aspf=s"
` + zone(t) + `-- message --
` + strings.ReplaceAll(string(text(t, sample(), keys(t)...)), "\r\n", "\n") + `-- want --
spf=pass smtp.mailfrom=reports.receiver.example
dkim=pass header.d=reports.receiver.example header.s=ed25519
dkim=pass header.d=reports.receiver.example header.s=rsa
dmarc=pass header.from=reports.receiver.example
disposition none
reply continue
`
	if *update {
		write(t, path, []byte(want))
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s differs from the mail that Text makes: run go test ./report/mail -update", path)
	}
}

func TestTextVerifiesInBothOfOurEngines(t *testing.T) {
	mail := text(t, sample(), keys(t)...)
	dns := dnstest.NewZone(t, zone(t))
	fields, body := message.Split(mail)
	var head message.Header
	for _, f := range fields {
		head = append(head, message.NewField(f))
	}
	run := dkim.Start(t.Context(), dns, head, dkim.Options{Now: func() time.Time { return sample().Date }})
	run.Write(body)
	results := run.Finish()
	if len(results) != 2 {
		t.Fatalf("auth/dkim found %d signatures; want 2", len(results))
	}
	for _, r := range results {
		if r.Status != dkim.Pass || r.Domain != "reports.receiver.example" {
			t.Errorf("auth/dkim: %+v; want pass", r)
		}
	}
	theirs, err := gomsgauth.VerifyWithOptions(bytes.NewReader(mail), &gomsgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) { return dns.TXT(t.Context(), name) }})
	if err != nil || len(theirs) != 2 {
		t.Fatalf("go-msgauth found %d signatures, %v; want 2", len(theirs), err)
	}
	for _, v := range theirs {
		if v.Err != nil {
			t.Errorf("go-msgauth: %v", v.Err)
		}
	}
}

// Whoever changes what people see of a report breaks its signature.
func TestTextSignsWhatPeopleSee(t *testing.T) {
	mail := string(text(t, sample(), keys(t)...))
	dns := dnstest.NewZone(t, zone(t))
	for name, changed := range map[string]string{
		"From changed":    strings.Replace(mail, "dmarc@reports", "dmark@reports", 1),
		"From added":      strings.Replace(mail, "From: ", "From: a@b.example\r\nFrom: ", 1),
		"Subject changed": strings.Replace(mail, "Submitter: receiver", "Submitter: other", 1),
		"Date changed":    strings.Replace(mail, "Mon, 02 Jun", "Tue, 02 Jun", 1),
		"body changed":    strings.Replace(mail, "in its From field", "in its from field", 1),
		"line appended":   mail + "more\r\n",
	} {
		if changed == mail {
			t.Fatalf("%s: nothing was changed", name)
		}
		verdicts, err := gomsgauth.VerifyWithOptions(strings.NewReader(changed), &gomsgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) { return dns.TXT(t.Context(), name) }})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range verdicts {
			if v.Err == nil {
				t.Errorf("%s: the signature still verifies", name)
			}
		}
	}
}

// The grammar of RFC 9990, Sections 3.5.1 and 3.5.2.
var (
	domainName = `[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+`
	fws        = `(?:[ \t]*\r\n)?[ \t]+`
	subject    = regexp.MustCompile(`^Report` + fws + `Domain:` + fws + `(` + domainName + `)` + fws + `Submitter:` + fws + `(` + domainName + `)` + fws + `Report-ID:` + fws + `<([A-Za-z0-9]+)>$`)
	fileName   = regexp.MustCompile(`^(` + domainName + `)!(` + domainName + `)!([0-9]+)!([0-9]+)!([A-Za-z0-9]+)\.xml\.gz$`)
)

func TestOwnMailFollowsTheGrammarOfReports(t *testing.T) {
	mail := text(t, sample(), keys(t)...)
	head, _, _ := strings.Cut(string(mail), "\r\n\r\n")
	_, raw, _ := strings.Cut(head, "\r\nSubject: ")
	for i := 0; ; { // up to the end of the field
		n := strings.Index(raw[i:], "\r\n")
		if n < 0 || raw[i+n+2] != ' ' {
			raw = raw[:i+n]
			break
		}
		i += n + 2
	}
	m := subject.FindStringSubmatch(raw)
	if m == nil || m[1] != "bank.example" || m[2] != "receiver.example" || m[3] != sample().ID {
		t.Errorf("Subject %q does not follow RFC 9990, Section 3.5.2: %q", raw, m)
	}
	f := fileName.FindStringSubmatch(sample().FileName())
	if f == nil || f[1] != "receiver.example" || f[2] != "bank.example" || f[3] != "1748736000" || f[4] != "1748822399" || f[5] != sample().ID {
		t.Errorf("FileName() = %q; want the form of RFC 9990, Section 3.5.2: %q", sample().FileName(), f)
	}
	msg, err := netmail.ReadMessage(bytes.NewReader(mail))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"From":           `"Receiver \"Example\" GmbH" <dmarc@reports.receiver.example>`,
		"To":             "rua@bank.example",
		"Auto-Submitted": "auto-generated",
		"Date":           "Mon, 02 Jun 2025 01:02:03 +0000",
		"Mime-Version":   "1.0",
		"List-Id":        "",
		"Precedence":     "",
	} {
		if got := msg.Header.Get(name); got != want {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	if _, err := parts.NextPart(); err != nil {
		t.Fatal(err)
	}
	attached, err := parts.NextPart()
	if err != nil {
		t.Fatal(err)
	}
	kind, named, err := mime.ParseMediaType(attached.Header.Get("Content-Type"))
	if err != nil || kind != "application/gzip" || named["name"] != sample().FileName() || attached.FileName() != sample().FileName() {
		t.Errorf("the attachment is %q %v, named %q; want application/gzip and %q", kind, named, attached.FileName(), sample().FileName())
	}
}

func TestOwnMailHasSevenBitsAndShortLines(t *testing.T) {
	m := sample()
	label := strings.Repeat("a", 60)
	m.Organization = strings.Repeat("ü", 100)
	m.PolicyDomain = strings.Join([]string{label, label, label, label, "example"}, ".")
	m.Submitter = m.PolicyDomain
	m.To = strings.Repeat("x", 64) + "@" + strings.Join([]string{label, label, label, "b"}, ".")
	if len(m.PolicyDomain) < 250 || len(m.To) < 245 {
		t.Fatal("the sample is not near the limits")
	}
	mail := text(t, m, keys(t)...)
	for line := range bytes.SplitSeq(mail, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
			t.Errorf("a line of %d bytes: %.80q", len(line), line)
		}
		for _, c := range line {
			if c > 0x7e || c < ' ' {
				t.Errorf("byte %#x in %.80q", c, line)
			}
		}
	}
	msg, err := netmail.ReadMessage(bytes.NewReader(mail))
	if err != nil {
		t.Fatal(err)
	}
	if from, err := msg.Header.AddressList("From"); err != nil || from[0].Name != m.Organization {
		t.Errorf("From reads %v, %v; want the name %q", from, err, m.Organization)
	}
}

func TestTextOfTwoRecipientsHasTwoMessageIDs(t *testing.T) {
	one, other := sample(), sample()
	other.To = "second@bank.example"
	if one.MessageID() == other.MessageID() {
		t.Errorf("MessageID() = %s for two mails", one.MessageID())
	}
}

func TestTextRefusesWhatCannotStandInAMail(t *testing.T) {
	long := strings.Repeat("a", 64)
	for name, change := range map[string]func(*Message){
		"recipient with a line end":          func(m *Message) { m.To = "a@b.example\r\nBcc: c@d.example" },
		"recipient with a line feed":         func(m *Message) { m.To = "a\n@b.example" },
		"recipient with NUL":                 func(m *Message) { m.To = "a\x00@b.example" },
		"recipient with an angle bracket":    func(m *Message) { m.To = "a>@b.example" },
		"recipient with a blank":             func(m *Message) { m.To = "a b@b.example" },
		"recipient with a comma":             func(m *Message) { m.To = "a,c@b.example" },
		"recipient with quotes":              func(m *Message) { m.To = `"a"@b.example` },
		"recipient with a parameter":         func(m *Message) { m.To = "a@b.example SIZE=1" },
		"recipient with UTF-8":               func(m *Message) { m.To = "jürgen@b.example" },
		"recipient with a U-label":           func(m *Message) { m.To = "a@bücher.example" },
		"recipient with an address literal":  func(m *Message) { m.To = "a@[192.0.2.1]" },
		"recipient without a local part":     func(m *Message) { m.To = "@b.example" },
		"recipient without a domain":         func(m *Message) { m.To = "postmaster" },
		"recipient of 65 bytes before the @": func(m *Message) { m.To = long + "a@b.example" },
		"empty label":                        func(m *Message) { m.To = "a@b..example" },
		"policy domain with a line end":      func(m *Message) { m.PolicyDomain = "b.example\r\nX: y" },
		"policy domain with an exclamation":  func(m *Message) { m.PolicyDomain = "b!c.example" },
		"policy domain with a quote":         func(m *Message) { m.PolicyDomain = `b".example` },
		"no policy domain":                   func(m *Message) { m.PolicyDomain = "" },
		"label of 64 bytes":                  func(m *Message) { m.PolicyDomain = long + ".example" },
		"reporter of one label":              func(m *Message) { m.Submitter = "localhost" },
		"address of the reporter without @":  func(m *Message) { m.From = "dmarc" },
		"Report-ID with a hyphen":            func(m *Message) { m.ID = "0123-4567" },
		"Report-ID with a line end":          func(m *Message) { m.ID = "0123\r\n" },
		"no Report-ID":                       func(m *Message) { m.ID = "" },
		"Report-ID of 65 bytes":              func(m *Message) { m.ID = long + "a" },
		"organization with a line end":       func(m *Message) { m.Organization = "a\r\nBcc: b@c.example" },
		"organization of 201 bytes":          func(m *Message) { m.Organization = strings.Repeat("a", 201) },
		"period that is empty":               func(m *Message) { m.End = m.Begin },
		"no date":                            func(m *Message) { m.Date = time.Time{} },
		"report that is not compressed":      func(m *Message) { m.Body = []byte("<feedback/>") },
		"no report":                          func(m *Message) { m.Body = nil },
	} {
		m := sample()
		change(&m)
		if got, err := m.Text(); err == nil {
			t.Errorf("%s: Text() = %.200q; want an error", name, got)
		}
	}
}

func TestTextOfAPublicSuffixIsMade(t *testing.T) {
	m := sample()
	m.PolicyDomain = "bank"
	text(t, m)
}

func TestTextReturnsTheErrorOfASigner(t *testing.T) {
	if _, err := sample().Text(&Key{"a.example", "s", broken{keys(t)[0].Signer}}); !errors.Is(err, errBroken) {
		t.Errorf("Text() = %v; want the error of the key", err)
	}
}

var errBroken = errors.New("token is not there")

// broken is a key that does not sign.
type broken struct{ crypto.Signer }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errBroken }

func TestLoadKeyTakesOnlyPrivateKeysOfTheDaemon(t *testing.T) {
	good, err := os.ReadFile("testdata/ed25519.pem")
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := keys(t)[1].Signer.(*rsa.PrivateKey)
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})
	for _, tt := range []struct {
		name string
		text []byte
		mode os.FileMode
		want string // in the error; empty means none
	}{
		{"key of the owner", good, 0o600, ""},
		{"RSA key of opendkim-genkey", pkcs1, 0o600, ""},
		{"readable for all", good, 0o644, "lets every user"},
		{"empty file", nil, 0o600, "no key in PEM"},
		{"public key", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}), 0o600, "no private key"},
		{"passphrase", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), 0o600, "passphrase"},
		{"broken key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), 0o600, "asn1"},
		{"RSA key of 512 bits", shortKey(t), 0o600, "512"},
		{"elliptic curve", ellipticKey, 0o600, "use RSA or Ed25519"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, tt.text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			k, err := LoadKey(path, "receiver.example", "s1")
			switch {
			case tt.want == "" && (err != nil || k.Domain != "receiver.example" || k.Selector != "s1"):
				t.Errorf("LoadKey() = %v, %v; want the key", k, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("LoadKey() = %v; want an error with %q", err, tt.want)
			}
		})
	}
	for domain, selector := range map[string]string{"receiver.example\r\nX": "s1", "localhost": "s1", "receiver.example": "s1; l=0", "other.example": ""} {
		if _, err := LoadKey("testdata/ed25519.pem", domain, selector); err == nil || !strings.Contains(err.Error(), "cannot be used") {
			t.Errorf("LoadKey() of selector %q of domain %q = %v; want an error about them", selector, domain, err)
		}
	}
}

// shortKey is an RSA key of 512 bits, of primes that everybody knows.
func shortKey(t *testing.T) []byte {
	t.Helper()
	p, _ := new(big.Int).SetString(strings.Repeat("f", 63)+"43", 16) // near 2^256
	q := new(big.Int).Sub(p, big.NewInt(2))
	for ; !p.ProbablyPrime(20); p.Sub(p, big.NewInt(2)) {
	}
	for q.Sub(p, big.NewInt(2)); !q.ProbablyPrime(20); q.Sub(q, big.NewInt(2)) {
	}
	one, e := big.NewInt(1), big.NewInt(65537)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, D: new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q}}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)})
}

var ellipticKey = []byte(`-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgkCkMEHCa/47eAVBS
LGpcbv9vHdz4ba6EBuKtYS/ULuuhRANCAAQThncPT5LcnS7VcfGRwDXX8KQdSJ/n
4IksbjEehIBIsZgmyz2DFNldb4vefUfLdnp70nElR7o9hK9EG/ligsNA
-----END PRIVATE KEY-----
`)

func TestRecordIsThePublicHalf(t *testing.T) {
	k := &Key{Signer: ed25519.NewKeyFromSeed(make([]byte, 32))}
	got, err := k.Record()
	if want := "v=DKIM1; k=ed25519; p=O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="; err != nil || got != want {
		t.Errorf("Record() = %q, %v; want %q", got, err, want)
	}
}

// A mail can be made of what a record says, or not at all; a header field more
// is never in it.
func FuzzText(f *testing.F) {
	f.Add("rua@bank.example", "bank.example", "Receiver", "0123456789abcdef")
	f.Add("a@b.example\r\nBcc: x@y.example", "b\r\n.example", "a\r\nb", "a\n")
	f.Add("a@b", "b", "=?utf-8?q?x?=", "A")
	f.Add("a@b", "b", "\xff\xfe ü \u2028", "A")
	key := keys(f)[0]
	f.Fuzz(func(t *testing.T, to, domain, organization, id string) {
		m := sample()
		m.To, m.PolicyDomain, m.Organization, m.ID = to, domain, organization, id
		mail, err := m.Text(key)
		if err != nil {
			return
		}
		head, _, _ := strings.Cut(string(mail), "\r\n\r\n")
		names := 0
		for line := range strings.SplitSeq(head, "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n") || strings.ContainsFunc(line, func(r rune) bool { return r > '~' || r < ' ' }) {
				t.Errorf("line %q", line)
			}
			if line[0] != ' ' {
				names++
			}
		}
		if names != 9 {
			t.Errorf("%d fields; want 9:\n%s", names, head)
		}
	})
}
