//go:build mta

package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/internal/scale"
)

// sendmailThirdParty has no name: Sendmail looks names up, and finds none.
var sendmailThirdParty = mtatest.Client{Addr: "203.0.113.66", Helo: "[203.0.113.66]"}

// sendmailMilter reads the equates of the filter from the README, with a blank
// for the socket, so that what it tells operators is what is tested. F=T:
// without us, mail waits. The times are Sendmail's defaults but for S.
func sendmailMilter(t *testing.T) string {
	t.Helper()
	const before, after = "INPUT_MAIL_FILTER(`dmarcgate', `S=local:/run/dmarcgate/milter.sock", "')\n"
	found := blocks(t, "README.md", "sendmail.mc")
	if len(found) != 1 || !strings.HasPrefix(found[0], before) || !strings.HasSuffix(found[0], after) {
		t.Fatalf("README.md has the sendmail.mc blocks %q; want one that begins with %q", found, before)
	}
	return "S=local:%s" + strings.TrimSuffix(strings.TrimPrefix(found[0], before), after)
}

func startSendmailSite(t *testing.T, profile, quarantine string) *mtaSite {
	t.Helper()
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	dns := mtatest.StartDNS(t, postfixZone+keys["rsa"].Zone("s1", "shop.example"))
	s := startSendmailOn(t, dns.Addr(), sendmailMilter(t), daemontest.Config{Profile: profile, Quarantine: quarantine})
	s.key = keys["rsa"]
	return s
}

// startSendmailOn starts the site with a resolver that is there already.
// filter has a blank for the socket.
func startSendmailOn(t *testing.T, dns, filter string, c daemontest.Config) *mtaSite {
	t.Helper()
	socket := filepath.Join(mtatest.Dir(t), "milter.sock")
	c.Address, c.Trusted = "unix:"+socket, "192.0.2.255"
	s := &mtaSite{}
	s.daemon, s.log = startDaemon(t, dns, c)
	s.sendmail = mtatest.StartSendmail(t, mtatest.SendmailConfig{Milter: fmt.Sprintf(filter, socket)})
	return s
}

func TestSendmailPassesBySPFOnlyAndByDKIMOnly(t *testing.T) {
	s := startSendmailSite(t, "strict", "tag")
	qid := s.accepted(t, s.session(t, shopHost), "bounce@shop.example", mailText("orders@shop.example", "spf", ""))
	contains(t, "our field", ourResults(t, s.delivered(t, qid)), "spf=pass smtp.mailfrom=shop.example", "dkim=none", "dmarc=pass (p=reject dis=none)")
	f := s.last(t).Facts
	if f.QueueID != qid || f.Client.String() != shopHost.Addr || f.ClientName != shopHost.Name || f.Helo != shopHost.Helo {
		t.Errorf("row = %+v; want queue id %s and client %+v", f, qid, shopHost)
	}
	// Sendmail cuts the space after the colon off unless it is asked not to, so
	// that these fields could not be told from their opposites.
	for _, space := range []string{"", " ", "  ", "\t"} {
		data := bytes.Replace(mailText("orders@shop.example", "dkim", ""), []byte("Subject: "), []byte("Subject:"+space), 1)
		signed, err := s.key.SignSimple(data, "shop.example", "s1")
		if err != nil {
			t.Fatal(err)
		}
		qid = s.accepted(t, s.session(t, forwardHost), "srs@forwarder.example", signed)
		contains(t, fmt.Sprintf("our field with %q after the colon", space), ourResults(t, s.delivered(t, qid)), "dkim=pass", "header.d=shop.example", "dmarc=pass")
	}
}

func TestSendmailAnswersASpoofByPolicy(t *testing.T) {
	s := startSendmailSite(t, "strict", "tag")
	tests := []struct {
		from   string
		code   int
		field  string // in our field when delivered
		tagged bool
	}{
		{"x@none.example", 250, "(p=none dis=none)", false},
		{"x@quarantine.example", 250, "(p=quarantine dis=quarantine)", true},
		{"x@reject.example", 550, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.from, func(t *testing.T) {
			r := sendLetter(t, s.session(t, sendmailThirdParty), "y@forwarder.example", mailText(tt.from, "spoof", ""))
			if r.Code != tt.code {
				t.Fatalf("reply = %v; want %d\n%s", r, tt.code, s.sendmail.Log())
			}
			row := s.last(t)
			if row.Facts.ClientName != "" {
				t.Errorf("client name = %q; want none", row.Facts.ClientName)
			}
			if tt.code == 550 {
				want := fmt.Sprintf("5.7.1 Email rejected per DMARC policy for reject.example: %s (qid %s)", row.Decision.Why, row.Facts.QueueID)
				if r.Text != want || row.Facts.QueueID == "" {
					t.Errorf("reply = %q; want %q", r.Text, want)
				}
				return
			}
			m := s.delivered(t, r.QueueID())
			contains(t, "our field", ourResults(t, m), "dmarc=fail "+tt.field)
			if got := len(m.Fields("X-DMARC-Quarantine")) == 1; got != tt.tagged {
				t.Errorf("tagged = %v; want %v", got, tt.tagged)
			}
		})
	}
}

func TestSendmailHoldsAMessageInQuarantineWithTheReason(t *testing.T) {
	s := startSendmailSite(t, "strict", "hold")
	qid := s.accepted(t, s.session(t, sendmailThirdParty), "y@forwarder.example", mailText("x@quarantine.example", "spoof", ""))
	held, err := s.sendmail.Quarantined()
	if err != nil || len(held) != 1 || held[0].ID != qid {
		t.Fatalf("quarantine = %+v, %v; want %s alone in it\n%s", held, err, qid, s.sendmail.Log())
	}
	contains(t, "reason", held[0].Hold, "DMARC: "+s.last(t).Decision.Why+" (quarantine.example)")
	m, err := s.sendmail.Queued(qid)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, "our field", ourResults(t, m), "dmarc=fail (p=quarantine dis=quarantine)")
}

// Sendmail writes "IPv6:" before such an address.
func TestSendmailHandsOverAnIPv6Client(t *testing.T) {
	s := startSendmailSite(t, "strict", "tag")
	client := mtatest.Client{Addr: "2001:db8::10", Name: "six.shop.example", Helo: "six.shop.example"}
	qid := s.accepted(t, s.session(t, client), "bounce@shop.example", mailText("orders@shop.example", "six", ""))
	contains(t, "our field", ourResults(t, s.delivered(t, qid)), "spf=pass smtp.mailfrom=shop.example", "dmarc=pass")
	if f := s.last(t).Facts; f.Client.String() != client.Addr || f.ClientName != client.Name {
		t.Errorf("row has client %s, %s; want %s, %s", f.Client, f.ClientName, client.Addr, client.Name)
	}
}

// At the end of a message Sendmail waits for each packet as long as R says, ten
// seconds by default, and then goes without us. A verdict that takes longer is
// announced by packets of progress, every five seconds.
func TestSendmailWaitsForAVerdictThatIsLongerThanItsTimeout(t *testing.T) {
	// Sendmail counts whole seconds: a timeout of 7 s can come after 6.
	wait, read := 8*time.Second, 7*time.Second
	if scale.Of(t) > 1 {
		wait, read = 12*time.Second, 10*time.Second
	}
	dns := dnstest.New(t, "_dmarc.reject.example. TXT \"v=DMARC1; p=reject\"\nforwarder.example. A 192.0.2.1\n!any\n!slow _dmarc.reject.example "+wait.String()+"\n")
	filter := fmt.Sprintf("S=local:%%s, F=T, T=C:30s;S:30s;R:%v;E:5m", read)
	s := startSendmailOn(t, dns.Addr(), filter, daemontest.Config{DNSTimeout: "18s"})
	start := time.Now()
	r := sendLetter(t, s.session(t, sendmailThirdParty), "y@forwarder.example", mailText("x@reject.example", "spoof", ""))
	if took := time.Since(start); r.Code != 550 || took < read {
		t.Errorf("reply = %v after %v; want 550 after more than %v\n%s", r, took, read, s.sendmail.Log())
	}
}
