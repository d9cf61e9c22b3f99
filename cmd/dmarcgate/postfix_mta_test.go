//go:build mta

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/results"
)

// postfixZone is the DNS behind the real resolver; the key record is added.
const postfixZone = `
shop.example.              TXT "v=spf1 ip4:192.0.2.0/28 ip6:2001:db8::/64 -all"
mail.shop.example.         TXT "v=spf1 ip4:192.0.2.0/28 -all"
_dmarc.shop.example.       TXT "v=DMARC1; p=reject"
forwarder.example.         TXT "v=spf1 ip4:198.51.100.0/24 -all"
none.example.              A   192.0.2.1
_dmarc.none.example.       TXT "v=DMARC1; p=none"
quarantine.example.        A   192.0.2.1
_dmarc.quarantine.example. TXT "v=DMARC1; p=quarantine"
reject.example.            A   192.0.2.1
_dmarc.reject.example.     TXT "v=DMARC1; p=reject; sp=quarantine"
sub.reject.example.        A   192.0.2.1
_dmarc.xn--bcher-kva.example. TXT "v=DMARC1; p=reject"
`

var (
	shopHost       = mtatest.Client{Addr: "192.0.2.10", Name: "mail.shop.example", Helo: "mail.shop.example"}
	forwardHost    = mtatest.Client{Addr: "198.51.100.20", Name: "mx.forwarder.example", Helo: "mx.forwarder.example"}
	thirdPartyHost = mtatest.Client{Addr: "203.0.113.66", Name: "[UNAVAILABLE]", Helo: "[203.0.113.66]"}
)

// mtaSite is a daemon behind a real Postfix or Sendmail, and a real resolver.
type mtaSite struct {
	postfix  *mtatest.Postfix
	sendmail *mtatest.Sendmail // nil behind Postfix
	daemon   *served
	log      *daemontest.Buffer
	key      dkimtest.Key
}

// postfixLines reads the lines for main.cf from the README, so that what it
// tells operators is what is tested. The socket's path is the test's own.
func postfixLines(t *testing.T, socket string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```main.cf\n")
	lines, _, ok := strings.Cut(rest, "```")
	if !ok || !strings.Contains(lines, "unix:dmarcgate/milter.sock") {
		t.Fatal("README.md has no main.cf block with unix:dmarcgate/milter.sock")
	}
	return strings.ReplaceAll(lines, "unix:dmarcgate/milter.sock", "unix:"+socket)
}

func startSite(t *testing.T, profile, quarantine string) *mtaSite {
	t.Helper()
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	s := &mtaSite{key: keys["rsa"]}
	dns := mtatest.StartDNS(t, postfixZone+s.key.Zone("s1", "shop.example"))
	s.daemon, s.log = startDaemon(t, dns.Addr(), daemontest.Config{Profile: profile, Quarantine: quarantine, Mode: "0666"})
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{
		MainCF: postfixLines(t, s.daemon.Listeners()[0].Config.Address.Addr),
	})
	return s
}

// letter is a message with a From field of the given text.
func mailText(from, subject, more string) []byte {
	return fmt.Appendf(nil, "%sFrom: %s\r\nTo: user@receiver.example\r\nSubject: %s\r\n\r\nHello.\r\n", more, from, subject)
}

func sendLetter(t *testing.T, s *mtatest.Session, mailFrom string, data []byte, params ...string) mtatest.Reply {
	t.Helper()
	r, err := s.Send(mtatest.Mail{From: mailFrom, Params: params, Rcpts: []string{"user@receiver.example"}, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// last returns the newest row, and checks that its log line is there.
func (s *mtaSite) last(t *testing.T) results.Row {
	t.Helper()
	rows, err := s.daemon.Store().Recent(t.Context(), 1)
	if err != nil || len(rows) != 1 {
		t.Fatalf("Recent(1) = %d rows, %v; want one", len(rows), err)
	}
	if want := "qid=" + rows[0].Facts.QueueID + " listener=mta client=" + rows[0].Facts.Client.String(); !strings.Contains(s.log.String(), want) {
		t.Errorf("the log has no line with %q:\n%s", want, s.log)
	}
	return rows[0]
}

// ours returns our Authentication-Results field of a delivered message.
func ourResults(t *testing.T, m mtatest.Mail) string {
	t.Helper()
	var found []string
	for _, v := range m.Fields("Authentication-Results") {
		if strings.Contains(v, "mx.receiver.example") {
			found = append(found, v)
		}
	}
	if len(found) != 1 {
		t.Fatalf("fields under our name = %q; want one", found)
	}
	header := string(m.Header())
	if !strings.HasPrefix(header, "Authentication-Results: mx.receiver.example;") {
		t.Errorf("our field is not on top:\n%s", header)
	}
	return found[0]
}

func contains(t *testing.T, what, got string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(got, w) {
			t.Errorf("%s = %q; want %q in it", what, got, w)
		}
	}
}

func TestPostfixPassesBySPFOnlyAndByDKIMOnly(t *testing.T) {
	s := startSite(t, "strict", "tag")
	r := sendLetter(t, s.session(t, shopHost), "bounce@shop.example", mailText("orders@shop.example", "spf", ""))
	if r.Code != 250 {
		t.Fatalf("SPF only: reply %v; want 250", r)
	}
	contains(t, "our field", ourResults(t, s.delivered(t, r.QueueID())), "spf=pass smtp.mailfrom=shop.example", "dkim=none", "dmarc=pass (p=reject dis=none)")
	row := s.last(t)
	if row.Facts.QueueID != r.QueueID() || row.Facts.Client.String() != shopHost.Addr || row.Facts.ClientName != shopHost.Name || row.Facts.Helo != shopHost.Helo {
		t.Errorf("row = %+v; want queue id %s and client %+v", row.Facts, r.QueueID(), shopHost)
	}

	signed, err := s.key.Sign(mailText("orders@shop.example", "dkim", ""), "shop.example", "s1")
	if err != nil {
		t.Fatal(err)
	}
	r = sendLetter(t, s.session(t, forwardHost), "srs@forwarder.example", signed)
	if r.Code != 250 {
		t.Fatalf("DKIM only: reply %v; want 250", r)
	}
	contains(t, "our field", ourResults(t, s.delivered(t, r.QueueID())), "dkim=pass", "header.d=shop.example", "dmarc=pass")
}

func TestPostfixAnswersASpoofByProfileAndPolicy(t *testing.T) {
	tests := []struct {
		profile, quarantine, from string
		code                      int
		field                     string // in our field when delivered
		tagged                    bool
		held                      bool
	}{
		{"monitor", "tag", "x@none.example", 250, "(p=none dis=none)", false, false},
		{"monitor", "tag", "x@quarantine.example", 250, "(p=quarantine dis=none)", false, false},
		{"monitor", "tag", "x@reject.example", 250, "(p=reject dis=none)", false, false},
		{"conformant", "hold", "x@none.example", 250, "(p=none dis=none)", false, false},
		{"conformant", "hold", "x@quarantine.example", 250, "(p=quarantine dis=quarantine)", false, true},
		{"conformant", "hold", "x@reject.example", 250, "(p=reject dis=quarantine)", false, true},
		{"strict", "tag", "x@none.example", 250, "(p=none dis=none)", false, false},
		{"strict", "tag", "x@quarantine.example", 250, "(p=quarantine dis=quarantine)", true, false},
		{"strict", "tag", "x@reject.example", 550, "", false, false},
		{"strict", "tag", "x@sub.reject.example", 250, "(p=quarantine dis=quarantine)", true, false},
	}
	sites := make(map[string]*mtaSite)
	for _, tt := range tests {
		if sites[tt.profile] == nil {
			sites[tt.profile] = startSite(t, tt.profile, tt.quarantine)
		}
		s := sites[tt.profile]
		t.Run(tt.profile+" "+tt.from, func(t *testing.T) {
			r := sendLetter(t, s.session(t, thirdPartyHost), "y@forwarder.example", mailText(tt.from, "spoof", ""))
			if r.Code != tt.code {
				t.Fatalf("reply = %v; want %d", r, tt.code)
			}
			if tt.code == 550 {
				qid := s.last(t).Facts.QueueID
				contains(t, "reply", r.Text, "5.7.1", "DMARC", "reject.example", "nothing authenticated", "qid "+qid)
				if qid == "" {
					t.Error("the row has no queue id")
				}
				return
			}
			var m mtatest.Mail
			if tt.held {
				entries, err := s.postfix.HoldQueue()
				if err != nil || !slices.ContainsFunc(entries, func(e mtatest.QueueEntry) bool { return e.ID == r.QueueID() }) {
					t.Fatalf("hold queue = %+v, %v; want %s in it", entries, err, r.QueueID())
				}
				if m, err = s.postfix.Queued(r.QueueID()); err != nil {
					t.Fatal(err)
				}
			} else {
				m = s.delivered(t, r.QueueID())
			}
			contains(t, "our field", ourResults(t, m), "dmarc=fail "+tt.field)
			if got := len(m.Fields("X-DMARC-Quarantine")) == 1; got != tt.tagged {
				t.Errorf("tagged = %v; want %v", got, tt.tagged)
			}
		})
	}
}

func TestPostfixVerifiesALargeBody(t *testing.T) {
	s := startSite(t, "strict", "tag")
	body := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, again and again.\r\n"), 10<<20/63)
	signed, err := s.key.Sign(append(mailText("orders@shop.example", "large", ""), body...), "shop.example", "s1")
	if err != nil {
		t.Fatal(err)
	}
	r := sendLetter(t, s.session(t, forwardHost), "srs@forwarder.example", signed)
	if r.Code != 250 {
		t.Fatalf("reply = %v; want 250", r)
	}
	if got := s.last(t).Facts.DKIM; len(got) != 1 || got[0].Result != "pass" {
		t.Errorf("signatures of %d bytes = %+v; want one that passes", len(signed), got)
	}
}

func TestPostfixHandsOverInternationalMail(t *testing.T) {
	s := startSite(t, "strict", "tag")
	r := sendLetter(t, s.session(t, thirdPartyHost), "x@forwarder.example", mailText("dienst@bücher.example", "SMTPUTF8", ""), "SMTPUTF8")
	if r.Code != 550 {
		t.Fatalf("reply = %v; want 550", r)
	}
	contains(t, "reply", r.Text, "xn--bcher-kva.example")
}

// The README promises that a socket below the queue directory is found by a
// chrooted smtpd.
func TestPostfixFindsTheSocketFromItsChroot(t *testing.T) {
	dir := mtatest.Dir(t)
	dns := mtatest.StartDNS(t, postfixZone)
	p := mtatest.StartPostfix(t, mtatest.PostfixConfig{Dir: dir, Chroot: true, Milter: "unix:dmarcgate/milter.sock"})
	socketDir := filepath.Join(p.QueueDir(), "dmarcgate")
	if err := os.Mkdir(socketDir, 0o755); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, dns.Addr(), daemontest.Config{Mode: "0666",
		Address: "unix:" + filepath.Join(socketDir, "milter.sock")})
	r, err := p.Send(thirdPartyHost, mtatest.Mail{From: "x@forwarder.example", Rcpts: []string{"user@receiver.example"}, Data: mailText("x@reject.example", "spoof", "")})
	if err != nil || r.Code != 550 {
		t.Errorf("reply = %v, %v; want 550\n%s", r, err, p.Log())
	}
}
