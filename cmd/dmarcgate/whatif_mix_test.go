package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/miltertest"
)

// A mix is mail of every kind that a decision can depend on. It is the same
// each time that it is sent: what makes the draws (Message-ID, Date, MAIL FROM,
// client) stays, and the queue ids alone are others.
type mix struct {
	t      *testing.T
	key    dkimtest.Key
	signed int64 // t= of signatures
	mails  []mixedMail
}

// mixedMail is one message of a mix.
type mixedMail struct {
	kind     string
	listener string
	miltertest.Mail
}

// mixFailing are author domains in whose name mail fails, with what they
// publish. No mail of theirs passes, so that sending the mix teaches the
// history nothing about them.
var mixFailing = []struct{ domain, records string }{
	{"none.example", `_dmarc.none.example. TXT "v=DMARC1; p=none"`},
	{"quarantine.example", `_dmarc.quarantine.example. TXT "v=DMARC1; p=quarantine"`},
	{"reject.example", `_dmarc.reject.example. TXT "v=DMARC1; p=reject"`},
	{"half.example", `_dmarc.half.example. TXT "v=DMARC1; p=reject; pct=50"`},
	{"third.example", `_dmarc.third.example. TXT "v=DMARC1; p=quarantine; pct=33"`},
	{"trial.example", `_dmarc.trial.example. TXT "v=DMARC1; p=reject; t=y"`},
	{"softly.example", `_dmarc.softly.example. TXT "v=DMARC1; p=quarantine; t=y"`},
	{"news.parent.example", `_dmarc.parent.example. TXT "v=DMARC1; p=reject; sp=quarantine"
news.parent.example. A 192.0.2.99`},
	{mixMissing, `_dmarc.careful.example. TXT "v=DMARC1; p=none; np=reject"`},
	{"silent.example", `_dmarc.silent.example. TXT "v=DMARC1; p=reject"
silent.example. TXT "v=spf1 -all"`},
	{"nullmx.example", `_dmarc.nullmx.example. TXT "v=DMARC1; p=reject"
nullmx.example. MX 0 .`},
	{"strict.example", `_dmarc.strict.example. TXT "v=DMARC1; p=reject; adkim=s; aspf=s"
strict.example. A 192.0.2.99`},
	{mixKnown, `_dmarc.signer.example. TXT "v=DMARC1; p=reject"
signer.example. A 192.0.2.99`},
	{"reject.test", `_dmarc.reject.test. TXT "v=DMARC1; p=reject"
reject.test. A 192.0.2.99`},
	{"bare.example", `bare.example. A 192.0.2.99`},
	{"malformed.example", `_dmarc.malformed.example. TXT "v=DMARC1; p=bogus; rua=mailto:d@malformed.example"`},
}

// mixPassing is how many author domains pass.
const mixPassing = 5

const (
	mixKnown   = "signer.example"         // the store knows that it has always signed
	mixMissing = "nobody.careful.example" // does not exist
)

// Hosts beside those of the demo.
var (
	mixConfigured = netip.MustParseAddr("198.51.100.70") // a forwarder that [conformant] names
	mixAlumni     = netip.MustParseAddr("198.51.100.130")
	mixSix        = netip.MustParseAddr("2001:db8:17::25")
	mixTrusted    = netip.MustParseAddr("192.0.2.250") // in trusted_networks
)

// zone is the DNS of a mix.
func (m *mix) zone() string {
	var z strings.Builder
	z.WriteString(`
.                    NS  ns.example.
forwarder.example.   TXT "v=spf1 ip4:198.51.100.0/24 -all"
alumni.example.      TXT "v=spf1 ip4:198.51.100.128/25 ip6:2001:db8:17::/64 -all"
bulk.stranger.example. TXT "v=spf1 ip4:203.0.113.0/24 -all"
!servfail _dmarc.lame.example
!drop _dmarc.mute.example
!any
`)
	for _, d := range mixFailing {
		z.WriteString(d.records + "\n")
	}
	for i := range mixPassing {
		fmt.Fprintf(&z, "good%d.example. TXT \"v=spf1 ip4:192.0.2.10 -all\"\n_dmarc.good%d.example. TXT \"v=DMARC1; p=reject\"\n", i, i)
		z.WriteString(m.key.Zone("s1", fmt.Sprintf("good%d.example", i)))
	}
	for _, d := range mixFailing {
		if d.domain != mixMissing { // a key below it would make it exist
			z.WriteString(m.key.Zone("s1", d.domain))
		}
	}
	for _, d := range []string{"lists.example", "sealer.example", "sealer.stranger.example", "mailer.example"} {
		z.WriteString(m.key.Zone("s1", d))
	}
	return z.String()
}

// mixLetter is a message before it is signed.
type mixLetter struct {
	from   string // author domain; several are separated by commas
	top    string // further header fields
	header string // instead of the From field
	n      int
}

func (l mixLetter) bytes() []byte {
	from := l.header
	if from == "" {
		var all []string
		for d := range strings.SplitSeq(l.from, ",") {
			all = append(all, "someone@"+d)
		}
		from = "From: " + strings.Join(all, ", ") + "\r\n"
	}
	return fmt.Appendf(nil, "%s%sTo: user@receiver.example\r\nSubject: message %d\r\nMessage-ID: <%d@mix.example>\r\nDate: Sat, 21 Nov 2026 10:%02d:%02d +0000\r\n\r\nHello %d.\r\n",
		l.top, from, l.n, l.n, l.n/60%60, l.n%60, l.n)
}

// sign puts a signature of a domain on a message.
func (m *mix) sign(message []byte, domain string) []byte {
	m.t.Helper()
	out, err := m.key.SignTags(message, []dkimtest.Tag{
		{Name: "v", Value: "1"}, {Name: "a", Value: m.key.Kind() + "-sha256"}, {Name: "c", Value: "relaxed/relaxed"}, {Name: "d", Value: domain},
		{Name: "s", Value: "s1"}, {Name: "t", Value: fmt.Sprint(m.signed)}, {Name: "h", Value: "from:subject:date:message-id"}, {Name: "bh"}, {Name: "b"},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// seal adds a set to the chain of a message: what a hop recorded of it.
func (m *mix) seal(message []byte, domain, recorded string) []byte {
	m.t.Helper()
	out, err := m.key.Seal(message, dkimtest.Hop{Domain: domain, Selector: "s1", Results: domain + "; " + recorded})
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// footer is what a list adds to a body.
func footer(message []byte) []byte { return append(message, "-- \r\nfooter\r\n"...) }

// listFields is what a list adds to a header.
const listFields = "List-Id: Friends <friends.lists.example>\r\nList-Post: <mailto:friends@lists.example>\r\n"

// newMix makes n messages, of all kinds in turn.
func newMix(t *testing.T, n int) *mix {
	t.Helper()
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	m := &mix{t: t, key: key, signed: time.Now().Add(-time.Hour).Unix()}
	for i := range n {
		kind := mixKinds[i%len(mixKinds)]
		turn := i / len(mixKinds) // so that every kind meets every domain
		mail := kind.make(m, mixTurn{n: i, turn: turn, domain: mixFailing[turn%len(mixFailing)].domain})
		if mail.Helo == "" {
			mail.Helo = "host.stranger.example"
		}
		if len(mail.Rcpts) == 0 {
			mail.Rcpts = []string{"user@receiver.example"}
		}
		m.mails = append(m.mails, mixedMail{kind: kind.name, listener: []string{"mta", "mta", "edge"}[turn%3], Mail: mail})
	}
	return m
}

// mixTurn is what a kind makes one message of.
type mixTurn struct {
	n      int    // of the message
	turn   int    // of the kind
	domain string // author domain in whose name mail fails
}

// mixKinds are the kinds of mail.
var mixKinds = []struct {
	name string
	make func(m *mix, b mixTurn) miltertest.Mail
}{
	{"passes by SPF", func(m *mix, b mixTurn) miltertest.Mail {
		good := fmt.Sprintf("good%d.example", b.turn%mixPassing)
		return miltertest.Mail{Client: demoShop, From: "bounce@" + good, Message: mixLetter{from: good, n: b.n}.bytes()}
	}},
	{"passes by DKIM, forwarded", func(m *mix, b mixTurn) miltertest.Mail {
		good := fmt.Sprintf("good%d.example", b.turn%mixPassing)
		return miltertest.Mail{Client: demoForwarder, From: "srs@forwarder.example", Message: m.sign(mixLetter{from: good, n: b.n}.bytes(), good)}
	}},
	{"spoofed", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixHost(b.n), From: fmt.Sprintf("u%d@bulk.stranger.example", b.n), Message: mixLetter{from: b.domain, n: b.n}.bytes()}
	}},
	{"spoofed, envelope too", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixHost(b.n), From: "x@" + b.domain, Message: mixLetter{from: b.domain, n: b.n}.bytes()}
	}},
	{"spoofed with the null path", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixHost(b.n), Message: mixLetter{from: b.domain, n: b.n}.bytes()}
	}},
	{"forwarded without a signature", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: demoForwarder, Helo: "mx.forwarder.example", From: "srs@forwarder.example", Message: mixLetter{from: b.domain, n: b.n}.bytes()}
	}},
	{"through a forwarder of the configuration", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixConfigured, From: "x@" + b.domain, Message: mixLetter{from: b.domain, n: b.n}.bytes()}
	}},
	{"from a host with a name", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixAlumni, ClientName: "mx.alumni.example", Helo: "mx.alumni.example", From: "x@" + b.domain, Message: mixLetter{from: b.domain, n: b.n}.bytes()}
	}},
	{"over IPv6", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixSix, From: "relay@alumni.example", Message: mixLetter{from: b.domain, n: b.n}.bytes()}
	}},
	{"through a list that signs", func(m *mix, b mixTurn) miltertest.Mail {
		text := footer(m.sign(mixLetter{from: b.domain, top: listFields, n: b.n}.bytes(), b.domain))
		return miltertest.Mail{Client: mixHost(b.n), From: "friends-bounces@lists.example", Message: m.sign(text, "lists.example")}
	}},
	{"list fields and nothing else", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixHost(b.n), From: "x@bulk.stranger.example", Message: mixLetter{from: b.domain, top: listFields, n: b.n}.bytes()}
	}},
	{"body changed", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: demoForwarder, From: "srs@forwarder.example", Message: footer(m.sign(mixLetter{from: b.domain, n: b.n}.bytes(), b.domain))}
	}},
	{"signed by a public mailer", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixHost(b.n), From: "x@mailer.example", Message: m.sign(mixLetter{from: b.domain, n: b.n}.bytes(), "mailer.example")}
	}},
	{"sealed by a trusted sealer", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: demoForwarder, From: "srs@forwarder.example", Message: m.seal(mixLetter{from: b.domain, n: b.n}.bytes(), "sealer.example", "dmarc=pass header.from="+b.domain)}
	}},
	{"sealed by a trusted sealer that recorded nothing", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: demoForwarder, From: "srs@forwarder.example", Message: m.seal(mixLetter{from: b.domain, n: b.n}.bytes(), "sealer.example", "none")}
	}},
	{"sealed by a stranger", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixHost(b.n), From: "x@bulk.stranger.example", Message: m.seal(mixLetter{from: b.domain, n: b.n}.bytes(), "sealer.stranger.example", "dmarc=pass header.from="+b.domain)}
	}},
	{"sealed by both", func(m *mix, b mixTurn) miltertest.Mail {
		text := m.seal(mixLetter{from: b.domain, n: b.n}.bytes(), "sealer.stranger.example", "dmarc=pass header.from="+b.domain)
		return miltertest.Mail{Client: demoForwarder, From: "srs@forwarder.example", Message: m.seal(text, "sealer.example", "arc=pass; dmarc=fail header.from="+b.domain)}
	}},
	{"several From domains", func(m *mix, b mixTurn) miltertest.Mail {
		other := mixFailing[(b.turn*5+3)%len(mixFailing)].domain
		return miltertest.Mail{Client: mixHost(b.n), From: "x@bulk.stranger.example", Message: mixLetter{from: b.domain + "," + other, n: b.n}.bytes()}
	}},
	{"several From domains, one passes", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: demoShop, From: "bounce@good0.example", Message: mixLetter{from: "good0.example," + b.domain, n: b.n}.bytes()}
	}},
	{"From that is none", func(m *mix, b mixTurn) miltertest.Mail {
		header := []string{
			"X-Nothing: here\r\n", "From: undisclosed:;\r\n", "From: <@@>\r\n", "From: a@" + b.domain + "\r\nFrom: b@good0.example\r\n",
			"From: a@a.example, b@b.example, c@c.example, d@d.example, e@e.example, f@f.example\r\n",
		}[b.turn%5]
		from := []string{"x@bulk.stranger.example", ""}[b.turn%2]
		return miltertest.Mail{Client: mixHost(b.n), From: from, Message: mixLetter{header: header, n: b.n}.bytes()}
	}},
	{"DNS of the author fails", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixHost(b.turn % 3), From: "x@bulk.stranger.example", Message: mixLetter{from: []string{"lame.example", "mute.example"}[b.turn%2], n: b.n}.bytes()}
	}},
	{"to several", func(m *mix, b mixTurn) miltertest.Mail {
		rcpts := [][]string{{"a@partner.example", "b@receiver.example"}, {"a@partner.example", "b@partner.example"}, {"a@partner.example", "b@sub.partner.example", "postmaster"}}
		return miltertest.Mail{Client: demoForwarder, From: "srs@forwarder.example", Rcpts: rcpts[b.turn%3], Message: mixLetter{from: b.domain, n: b.n}.bytes()}
	}},
	{"automatic", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixHost(b.n), From: "x@bulk.stranger.example", Message: mixLetter{from: b.domain, top: "Auto-Submitted: auto-replied\r\n", n: b.n}.bytes()}
	}},
	{"not evaluated", func(m *mix, b mixTurn) miltertest.Mail {
		mail := miltertest.Mail{Client: mixTrusted, From: "x@" + b.domain, Message: mixLetter{from: b.domain, n: b.n}.bytes()}
		if b.turn%2 == 0 {
			mail.Client, mail.Auth = mixHost(b.n), "user"
		}
		return mail
	}},
	{"in the name of a domain that always signs", func(m *mix, b mixTurn) miltertest.Mail {
		return miltertest.Mail{Client: mixHost(b.n), From: "x@bulk.stranger.example", Message: mixLetter{from: mixKnown, n: b.n}.bytes()}
	}},
}

// mixHost is one of many hosts of nobody's.
func mixHost(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(i%250 + 1)}) }
