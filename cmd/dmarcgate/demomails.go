package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/miltertest"
)

// demoID is our name in the demo's Authentication-Results.
const demoID = "mx.receiver.example"

// The hosts that send the demo's mail.
var (
	demoShop       = netip.MustParseAddr("192.0.2.10")    // named in shop.example's SPF record
	demoForwarder  = netip.MustParseAddr("198.51.100.20") // forwards mail, unchanged or with a footer
	demoThirdParty = netip.MustParseAddr("203.0.113.66")  // a host without a name
	demoSubmitter  = netip.MustParseAddr("203.0.113.7")   // a user who has authenticated
)

// demoZone is the DNS of the demo; the key records are added.
const demoZone = `
shop.example.             TXT "v=spf1 ip4:192.0.2.0/28 -all"
mail.shop.example.        A   192.0.2.10
mail.shop.example.        TXT "v=spf1 a -all"
_dmarc.shop.example.      TXT "v=DMARC1; p=reject; rua=mailto:dmarc@shop.example"
bank.example.             TXT "v=spf1 -all"
_dmarc.bank.example.      TXT "v=DMARC1; p=reject; sp=quarantine; np=reject"
news.bank.example.        A   192.0.2.99
_dmarc.rollout.example.   TXT "v=DMARC1; p=reject; pct=0"
_dmarc.trial.example.     TXT "v=DMARC1; p=quarantine; t=y"
_dmarc.watch.example.     TXT "v=DMARC1; p=none; rua=mailto:dmarc@watch.example"
!servfail broken.example
!servfail *.broken.example
plain.example.            A   192.0.2.98
forwarder.example.        TXT "v=spf1 ip4:198.51.100.0/24 -all"
!any
`

// demoMail is a message with what it shows.
type demoMail struct {
	what    string
	profile string
	miltertest.Mail
}

// demoMails returns the messages and the zone text that belongs to them.
func demoMails() ([]demoMail, string, error) {
	key, err := dkimtest.RSA(2048)
	if err != nil {
		return nil, "", err
	}
	signed, err := key.Sign(demoText("Shop <orders@shop.example>", "Your order"), "shop.example", "s1")
	if err != nil {
		return nil, "", err
	}
	footer := append(bytes.Clone(signed), "-- \r\nlist footer\r\n"...)
	forged := append([]byte(strings.Repeat("Authentication-Results: "+demoID+"; dmarc=pass header.from=bank.example\r\n", 5)), signed...)
	spoof := demoText("Bank <service@bank.example>", "Your account")
	from := func(domain string) []byte { return demoText("Someone <someone@"+domain+">", "Hello") }
	mails := []demoMail{
		mail("legitimate, by SPF", "strict", demoShop, "bounce@shop.example", demoText("orders@shop.example", "Receipt")),
		mail("legitimate, by DKIM, forwarded", "strict", demoForwarder, "srs@forwarder.example", signed),
		mail("legitimate bounce, by HELO", "strict", demoShop, "", demoText("Mail <postmaster@shop.example>", "Undelivered")),
		mail("spoof", "strict", demoThirdParty, "x@forwarder.example", spoof),
		mail("the same spoof", "conformant", demoThirdParty, "x@forwarder.example", spoof),
		mail("the same spoof", "monitor", demoThirdParty, "x@forwarder.example", spoof),
		mail("spoof of a subdomain, sp=", "strict", demoThirdParty, "x@bank.example", from("news.bank.example")),
		mail("spoof of a name that does not exist, np=", "strict", demoThirdParty, "x@bank.example", from("login.bank.example")),
		mail("sampled, pct=0", "strict", demoThirdParty, "x@rollout.example", from("rollout.example")),
		mail("owner is testing, t=y", "strict", demoThirdParty, "x@trial.example", from("trial.example")),
		mail("owner only watches, p=none", "strict", demoThirdParty, "x@watch.example", from("watch.example")),
		mail("changed by a mailing list", "strict", demoForwarder, "list@forwarder.example", footer),
		mail("the same", "conformant", demoForwarder, "list@forwarder.example", footer),
		mail("the domain's DNS is down", "strict", demoThirdParty, "x@forwarder.example", from("broken.example")),
		mail("two domains in From", "strict", demoShop, "bounce@shop.example", demoText("a@shop.example, b@bank.example", "Two")),
		mail("five forged results", "strict", demoForwarder, "srs@forwarder.example", forged),
		mail("no From field", "strict", demoThirdParty, "x@forwarder.example", []byte("Subject: no author\r\n\r\nhello\r\n")),
		mail("no DMARC record", "strict", demoThirdParty, "x@plain.example", from("plain.example")),
		mail("user who has authenticated", "strict", demoSubmitter, "x@bank.example", spoof),
	}
	mails[len(mails)-1].Auth = "user"
	return mails, demoZone + key.Zone("s1", "shop.example"), nil
}

func mail(what, profile string, client netip.Addr, from string, text []byte) demoMail {
	helo := "host.forwarder.example"
	if client == demoShop {
		helo = "mail.shop.example"
	}
	return demoMail{what: what, profile: profile, Mail: miltertest.Mail{
		Client: client, Helo: helo, From: from, Rcpts: []string{"user@receiver.example"}, Message: text,
	}}
}

func demoText(from, subject string) []byte {
	return fmt.Appendf(nil, "From: %s\r\nTo: user@receiver.example\r\nSubject: %s\r\nMessage-ID: <%s@demo.example>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\nHello.\r\n",
		from, subject, strings.ToLower(strings.ReplaceAll(subject, " ", "-")))
}
