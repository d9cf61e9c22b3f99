package lookup

import (
	"fmt"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/dnstest"
	"dmarcgate/term"
)

// mailText returns what MailText prints, what it notes, and its error as text.
func mailText(t *testing.T, addr, domain string) (out, notes, failure string) {
	t.Helper()
	var b, n strings.Builder
	err := MailText(t.Context(), &b, &n, domain, options(t, addr))
	return b.String(), n.String(), term.ErrorText(err)
}

// mailTo reads what MailText prints as a message.
func mailTo(t *testing.T, dns, domain string) (to []string, subject, body string) {
	t.Helper()
	out, stderr, _ := mailText(t, dns, domain)
	msg, err := netmail.ReadMessage(strings.NewReader(out))
	if err != nil {
		t.Fatalf("lookup --mail-text prints %q (%s): %v", out, stderr, err)
	}
	list, err := msg.Header.AddressList("To")
	if err != nil || len(msg.Header) != 2 {
		t.Fatalf("header = %q, %v; want To and Subject", msg.Header, err)
	}
	for _, a := range list {
		to = append(to, a.Address)
	}
	_, body, _ = strings.Cut(out, "\n\n")
	return to, msg.Header.Get("Subject"), body
}

func TestMailTextHasCorrectedRecord(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	to, subject, body := mailTo(t, dns.Addr(), "bank.example")
	if want := []string{"postmaster@bank.example", "Host.Master@bank.example", "d@bank.example"}; !slices.Equal(to, want) {
		t.Errorf("To = %q; want %q", to, want)
	}
	if subject != "DMARC record of bank.example: 2 problems to fix" {
		t.Errorf("Subject = %q", subject)
	}
	shows(t, body, "Hello,\n", `"v=DMARC1; p=reject; sp=quarantine; pct=abc; rua=mailto:d@bank.example,dmarc@bank.example"`,
		"failing mail: reject.", "1. bad_pct, in _dmarc.bank.example at byte 39:\n   \"abc\"\n   Changes the meaning of the record.\n   Fix: write a whole number",
		"2. bad_uri", `   _dmarc.bank.example. IN TXT "v=DMARC1; p=reject; sp=quarantine; rua=mailto:d@bank.example,mailto:dmarc@bank.example"`)
}

func TestMailTextNamesDestinationsWithoutConsent(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	to, _, body := mailTo(t, dns.Addr(), "shop.example")
	if !slices.Contains(to, "x@no.example") || slices.Contains(to, "f@reports.example") {
		t.Errorf("To = %q; want the addresses of rua, not those of ruf", to)
	}
	shows(t, body, `"mailto:x@no.example":`, "have TXT \"v=DMARC1\" published at\n   shop.example._report._dmarc.no.example\n")
	if strings.Contains(body, "corrected") {
		t.Errorf("the message is\n%s\nwant no corrected record: it has no defect", body)
	}
}

func TestMailTextProposesBothOfTwoRecords(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	_, _, body := mailTo(t, dns.Addr(), "two.example")
	shows(t, body, "no record applies", "publish exactly one", `_dmarc.two.example. IN TXT "v=DMARC1; p=none; rua=mailto:a@two.example"`, `_dmarc.two.example. IN TXT "v=DMARC1; p=reject; rua=mailto:a@two.example"`)
}

func TestMailTextWithoutDefects(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	for _, domain := range []string{"quiet.example", "test.example"} {
		if out, notes, failure := mailText(t, dns.Addr(), domain); failure != "" || out != "" || !strings.Contains(notes, "nothing to fix for the owner of "+domain) {
			t.Errorf("MailText of %s = %q, %q, %q; want no error and no message", domain, out, notes, failure)
		}
	}
	if out, notes, failure := mailText(t, dns.Addr(), "broken.example"); out+notes != "" || !strings.Contains(failure, "cannot be looked up") {
		t.Errorf("MailText of broken.example = %q, %q, %q; want an error and no message", out, notes, failure)
	}
}

func TestMailTextSkipsDefectsOfRegistry(t *testing.T) {
	dns := dnstest.New(t, "_dmarc.shop.example. TXT \"v=DMARC1; p=reject; pct=x\"\n_dmarc.example. TXT \"v=DMARC1; p=none; psd=y; pct=y\"")
	_, subject, body := mailTo(t, dns.Addr(), "shop.example")
	if !strings.HasSuffix(subject, ": 1 problem to fix") || strings.Contains(body, "in _dmarc.example") {
		t.Errorf("the message is %q\n%s\nwant the defect of shop.example only", subject, body)
	}
}

func TestFixGuessesNothing(t *testing.T) {
	for txt, want := range map[string]struct {
		record string
		note   string
	}{
		"v=DMARC1; p=reject":                                                {"v=DMARC1; p=reject", ""},
		"v=DMARC1; p=rejct":                                                 {"v=DMARC1; p=none", "p=none keeps the present effect"},
		"v=DMARC1; rua=mailto:x@a.example;":                                 {"v=DMARC1; p=none; rua=mailto:x@a.example", "p=none keeps the present effect"},
		"v=DMARC1; p=reject; sp=x; np=y":                                    {"v=DMARC1; p=reject", "sp is removed"},
		"v=DMARC1; P=reject; p=none":                                        {"v=DMARC1; p=reject", "only the first of repeated tags"},
		"v=DMARC1; p=reject; adkim=strict; t=yes; polcy=1":                  {"v=DMARC1; p=reject", "unreadable parts are removed"},
		"v=DMARC1; p=reject; rua=x@a.example , mailto:y@a.example":          {"v=DMARC1; p=reject; rua=mailto:y@a.example,mailto:x@a.example", ""},
		"v=DMARC1; p=reject; ruf=x@a.example":                               {"v=DMARC1; p=reject; ruf=mailto:x@a.example", ""},
		"v=DMARC1; p=reject; rua=x":                                         {"v=DMARC1; p=reject", "unreadable report destinations"},
		"v=DMARC1; p=reject; rua=a{b@a.example":                             {"v=DMARC1; p=reject", "unreadable report destinations"},
		"v=DMARC1; p=reject; rua=x@" + strings.Repeat("a", 60) + ".example": {"v=DMARC1; p=reject; rua=mailto:x@" + strings.Repeat("a", 60) + ".example", ""},
		"v=dmarc1; p=reject":                                                {"v=DMARC1; p=reject", ""},
		`"v=DMARC1\; p=reject;"`:                                            {"v=DMARC1; p=reject", ""},
		"v=DMARC; p=quarantine;":                                            {"v=DMARC1; p=quarantine", ""},
		"p=reject; v=DMARC1":                                                {"v=DMARC1; p=none", "p=none keeps the present effect"},
		"v=DMARC1; p=reject; \r\nBcc: x":                                    {"v=DMARC1; p=reject", "unreadable parts are removed"},
	} {
		m := fix(txt)
		if got := m.record.String(); got != want.record || !strings.Contains(strings.Join(m.notes, "\n"), want.note) || (want.note == "") != (len(m.notes) == 0) {
			t.Errorf("fix(%q) = %q, %q; want %q and %q", txt, got, m.notes, want.record, want.note)
		}
	}
}

func FuzzFix(f *testing.F) {
	for _, txt := range []string{
		"", ";", "v=DMARC1", "v=DMARC1;p=none;rua=a@b.c,d@e.f;ruf=g@h.i!10m", "v=dmarc1;rua=\"x\"@y.z", "rua=,,,", "v=DMARC1;rua=" + strings.Repeat("a@b.c,", 20),
		"v=DMARC1; p=x; sp=y; np=z; t=\x00; psd=\x1b[2J; rua=mailto:\r\nx@y.z", "v=DMARC1;rua=a|b@c.d,a`b@c.d",
	} {
		f.Add(txt)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		text := fix(txt).record.String()
		_, defects, err := dmarc.ParseRecord(text)
		if err != nil || len(defects) > 0 {
			t.Errorf("fix(%q) = %q with %v, %v; want a record without a defect", txt, text, defects, err)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
			t.Errorf("fix(%q) = %q; want printable ASCII that zone files can quote", txt, text)
		}
	})
}

func TestMailTextUsesOnlyPlainAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"a@b.example":                     "a@b.example",
		"A.b+c@B.Example.":                "A.b+c@b.example",
		"":                                "",
		"@b.example":                      "",
		"a@":                              "",
		"a":                               "",
		"a b@c.example":                   "",
		".a@b.example":                    "",
		"a..b@c.example":                  "",
		`"a b"@c.example`:                 "",
		"a@b@c.example":                   "",
		"a,b@c.example":                   "",
		"<a@c.example":                    "",
		"a\r\nBcc:x@c.example":            "",
		"a@c.example\r\nBcc: x@d.example": "",
		"a@[192.0.2.1]":                   "",
		"\xe4@c.example":                  "",
		strings.Repeat("a", maxLocal) + "@c.example":   strings.Repeat("a", maxLocal) + "@c.example",
		strings.Repeat("a", maxLocal+1) + "@c.example": "",
	} {
		got, ok := plainAddress(text)
		if ok != (want != "") || ok && got != want {
			t.Errorf("plainAddress(%q) = %q, %v; want %q", text, got, ok, want)
		}
	}
}

// hostile has what could move a cursor, end a line or a field, or fill a disk.
func hostileZone() string {
	nasty := `\000\001\007\008\009\010\013\027[2J\027]0;x\007\127\128\155\194\155\226\128\174\255\"\\ <b>'` + "`"
	var long strings.Builder
	for range 240 {
		fmt.Fprintf(&long, `"%s" `, strings.Repeat("z", 250))
	}
	return `
hostile.example.             SOA ns.hostile.example. x\013\010Bcc:\032evil.hostile.example. 1 2 3 4 300
hostile.example.             MX  10 mx\013\010.hostile.example.
hostile.example.             TXT "v=spf1 ` + nasty + `"
_dmarc.hostile.example.      TXT "v=DMARC1; p=\013\010Bcc: victim@example.org\013\010; sp=` + nasty + `; rua=mailto:a%0d%0aBcc:%20v@example.org,mailto:%22x%22@hostile.example,mailto:ok@hostile.example,\013\010.\013\010From x@y.example; \013\010.\013\010=1; rua=x"
_dmarc.long.example.         TXT "v=DMARC1; p=x; " ` + long.String() + `
_dmarc.near.example.         TXT "v=DMARC; p=\027[2J; \"\\\013\010.\013\010 rua=x@near.example"
_dmarc.many.example.         TXT "v=DMARC1; p=none\013\010.\013\010"
_dmarc.many.example.         TXT "v=DMARC1; p=\155none"
_dmarc.quotes.example.       TXT "v=DMARC1; p=` + strings.Repeat(`\"\\`, 60) + `" "` + strings.Repeat(`\"\\`, 60) + `" "` + strings.Repeat(`\"\\`, 60) + `" "` + strings.Repeat(`\"\\`, 60) + `" "` + strings.Repeat(`\"\\`, 60) + `"
!any
`
}

func TestTextFromTheDNSIsHarmlessHoweverItIsPrinted(t *testing.T) {
	dns := dnstest.New(t, hostileZone())
	for _, domain := range []string{"hostile.example", "long.example", "near.example", "many.example", "quotes.example"} {
		for _, form := range []string{"a tree", "JSON", "a message", "a batch"} {
			o := options(t, dns.Addr())
			o.JSON = form == "JSON"
			var b, n strings.Builder
			var err error
			switch form {
			case "a message":
				err = MailText(t.Context(), &b, &n, domain, o)
			case "a batch":
				err = Batch(t.Context(), &b, write(t, "domains.txt", domain+"\n\x1b[2J\u202ex\r\n"), o)
			default:
				err = Domain(t.Context(), &b, domain, o)
			}
			out := b.String()
			if err == nil || out == "" {
				t.Errorf("%s as %s = %v, %d bytes; want an error and something", domain, form, err, len(out))
				continue
			}
			said := out + n.String() + err.Error()
			if i := strings.IndexFunc(said, func(r rune) bool {
				return r != '\n' && (r < ' ' || r > '~') && !strings.ContainsRune("├─└│", r)
			}); i >= 0 {
				t.Errorf("%s as %s prints %q", domain, form, said[max(0, i-20):min(i+20, len(said))])
			}
			if limit := map[bool]int{true: 1 << 18, false: 1 << 15}[o.JSON]; len(out) > limit {
				t.Errorf("%s as %s prints %d bytes; want at most %d", domain, form, len(out), limit)
			}
		}
	}
}

func TestMailTextEscapesRecord(t *testing.T) {
	dns := dnstest.New(t, hostileZone())
	for _, domain := range []string{"hostile.example", "long.example", "near.example", "many.example", "quotes.example"} {
		to, _, body := mailTo(t, dns.Addr(), domain)
		for _, addr := range to {
			if !strings.HasSuffix(addr, "@"+domain) {
				t.Errorf("the message on %s goes to %q", domain, addr)
			}
		}
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "From ") || strings.HasPrefix(line, "Bcc") || len(line) > 998 {
				t.Errorf("the message on %s has the line %q", domain, line)
			}
		}
	}
}
