//go:build mta

package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/policy"
)

// forgedTop is what a user or a program could write under our name.
const forgedTop = "Authentication-Results: mx.receiver.example; dmarc=pass header.from=forged.example\r\nX-DMARC-Quarantine: forged\r\n"

// attachSite is a strict daemon for the set-ups of docs/attach.md; Postfix is
// started by the test. zone has further records. It returns the address of the
// listener, for Postfix.
func attachSite(t *testing.T, c daemontest.Config, zone ...string) (*mtaSite, string) {
	t.Helper()
	s := &mtaSite{}
	c.Mode, c.HasStore = "0666", true
	s.daemon, s.log = startDaemon(t, dnstest.New(t, postfixZone+strings.Join(zone, "")+"!any\n").Addr(), c)
	return s, "unix:" + s.daemon.Listeners()[0].Config.Address.Addr
}

// attachBlock returns a block of docs/attach.md that has a text in it, with the
// socket and the ports of a test in place of those of a host.
func attachBlock(t *testing.T, kind, has string, replace ...string) string {
	t.Helper()
	for _, b := range blocks(t, "docs/attach.md", kind) {
		if strings.Contains(b, has) {
			return strings.NewReplacer(replace...).Replace(b)
		}
	}
	t.Fatalf("docs/attach.md has no %s block with %q", kind, has)
	return ""
}

// arrived waits for a message with this subject.
func (s *mtaSite) arrived(t *testing.T, subject string) mtatest.Mail {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, err := s.mta().Delivered(ctx, func(m mtatest.Mail) bool {
		return strings.HasPrefix(strings.Join(m.Fields("Subject"), ""), " "+subject) && len(m.Fields("From")) > 0 && !strings.Contains(m.Fields("From")[0], "MAILER-DAEMON")
	})
	if err != nil {
		t.Fatalf("message %q: %v\n%s", subject, err, s.mta().Log())
	}
	return m
}

// submitLocally sends a message by sendmail(1).
func (s *mtaSite) submitLocally(t *testing.T, from, subject, top string) {
	t.Helper()
	if err := s.postfix.Submit(mtatest.Mail{From: from, Rcpts: []string{"user@receiver.example"}, Data: mailText(from, subject, top)}); err != nil {
		t.Fatal(err)
	}
}

func isForged(m mtatest.Mail) bool { return strings.Contains(string(m.Header()), "forged") }

func TestAttachCleansMailOfUsersAndPrograms(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{})
	submission, without, certificates := freeAddr(t), freeAddr(t), freeAddr(t)
	auth := ""
	for _, o := range mtatest.StartSASL(t) {
		auth += "  -o " + o + "\n"
	}
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{
		MainCF: attachBlock(t, "main.cf", "non_smtpd_milters", "unix:dmarcgate/milter.sock", socket),
		MasterCF: submission + " inet n - n - - smtpd\n" + auth + without + " inet n - n - - smtpd\n  -o smtpd_milters=\n" +
			certificates + " inet n - n - - smtpd\n" + attachBlock(t, "master.cf", "milter_macro_defaults"),
	})
	session := postfixSession(t, submission, thirdPartyHost)
	if r, err := session.Command("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00alice\x00secret"))); err != nil || r.Code != 235 {
		t.Fatalf("AUTH = %v, %v\n%s", r, err, s.postfix.Log())
	}
	for _, tt := range []struct {
		name   string
		send   func(name string)
		skip   policy.Skip
		forged bool
	}{
		{"a user", func(name string) {
			sendLetter(t, session, "x@reject.example", mailText("x@reject.example", name, forgedTop))
		}, policy.Authenticated, false},
		{"a program", func(name string) { s.submitLocally(t, "x@reject.example", name, forgedTop) }, policy.Loopback, false},
		{"a certificate", func(name string) {
			sendLetter(t, postfixSession(t, certificates, thirdPartyHost), "x@reject.example", mailText("x@reject.example", name, forgedTop))
		}, policy.Authenticated, false},
		{"without milters", func(name string) { // what the page warns of
			sendLetter(t, postfixSession(t, without, thirdPartyHost), "x@reject.example", mailText("x@reject.example", name, forgedTop))
		}, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.send(tt.name)
			m := s.arrived(t, tt.name)
			if isForged(m) != tt.forged {
				t.Errorf("forged fields are there: %v; want %v\n%s", isForged(m), tt.forged, m.Header())
			}
			if tt.skip == "" {
				return
			}
			if f := s.last(t).Facts; f.Skip != tt.skip || f.Forged != 2 || len(m.Fields("Authentication-Results")) > 0 {
				t.Errorf("skip %q, %d forged, header\n%s\nwant %s, 2, and no results", f.Skip, f.Forged, m.Header(), tt.skip)
			}
		})
	}
	if r := sendLetter(t, postfixSession(t, submission, thirdPartyHost), "x@reject.example", mailText("x@reject.example", "no user", "")); r.Code != 550 {
		t.Errorf("submission without AUTH: reply = %v; want 550", r)
	}
}

func TestAttachReturnsLocalMailWithTooManyForgedFields(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{})
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{MainCF: "non_smtpd_milters = " + socket})
	s.submitLocally(t, "x@reject.example", "very many", strings.Repeat(forgedTop, 501))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if line, err := s.postfix.WaitLog(ctx, "status=bounced", "too many header fields"); err != nil {
		t.Errorf("log line %q, %v; want a bounce\n%s", line, err, s.postfix.Log())
	}
}

func TestAttachLocalMailWaitsWhileTheDaemonIsDown(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	p := mtatest.StartPostfix(t, mtatest.PostfixConfig{
		MainCF: attachBlock(t, "main.cf", "non_smtpd_milters", "unix:dmarcgate/milter.sock", "unix:nobody/listens")})
	s := &mtaSite{postfix: p}
	s.submitLocally(t, "x@reject.example", "waits", "")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := p.WaitLog(ctx, "milter-reject: CONNECT from localhost", "4.7.1"); err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	queue, err := p.Queue()
	if err != nil || len(queue) != 1 || queue[0].Queue != "maildrop" {
		t.Errorf("queue = %+v, %v; want the message in maildrop", queue, err)
	}
	r, err := p.Send(thirdPartyHost, mtatest.Mail{From: "a@shop.example", Rcpts: []string{"user@receiver.example"}, Data: mailText("a@shop.example", "x", "")})
	if err != nil || r.Code != 451 {
		t.Errorf("reply = %v, %v; want 451", r, err)
	}
}

// proxied opens a session with a service that wants the PROXY protocol.
func proxied(t *testing.T, service string, c mtatest.Client) *mtatest.Session {
	t.Helper()
	session, err := mtatest.DialBehindProxy(service, c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	if r, err := session.EHLO(c.Helo); err != nil || !r.OK() {
		t.Fatalf("EHLO = %v, %v", r, err)
	}
	return session
}

func TestAttachBehindPostscreenAndAProxy(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{})
	port := freeAddr(t)
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{
		MainCF: attachBlock(t, "main.cf", "smtpd_milters", "unix:dmarcgate/milter.sock", socket) +
			attachBlock(t, "main.cf", "postscreen_upstream") + "postscreen_greet_wait = 1s\n",
		MasterCF: attachBlock(t, "master.cf", "postscreen", "smtp      inet", port+" inet"),
	})
	session := proxied(t, port, thirdPartyHost)
	if r := sendLetter(t, session, "x@reject.example", mailText("x@reject.example", "spoof", "")); r.Code != 550 {
		t.Errorf("reply = %v; want 550\n%s", r, s.postfix.Log())
	}
	if f := s.last(t).Facts; f.Client.String() != thirdPartyHost.Addr {
		t.Errorf("client = %v; want %s", f.Client, thirdPartyHost.Addr)
	}
}

func TestAttachBehindAProxyWithoutPostscreen(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{})
	port := freeAddr(t)
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{Milter: socket,
		MasterCF: port + " inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy\n"})
	sendLetter(t, proxied(t, port, shopHost), "a@shop.example", mailText("a@shop.example", "good", ""))
	contains(t, "our field", ourResults(t, s.arrived(t, "good")), "spf=pass", "dmarc=pass")
}

func TestAttachInFrontOfAContentFilter(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{})
	in, back, twice := freeAddr(t), freeAddr(t), freeAddr(t)
	service := func(at, next string) string {
		host, port, _ := net.SplitHostPort(next)
		return fmt.Sprintf("%s inet n - n - - smtpd -o content_filter=smtp:[%s]:%s\n", at, host, port)
	}
	again, wrong := freeAddr(t), twice
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{
		Milter: socket,
		MasterCF: service(in, back) + attachBlock(t, "master.cf", "127.0.0.1:10025", "127.0.0.1:10025", back) +
			service(again, wrong) + wrong + " inet n - n - - smtpd -o content_filter=\n",
	})
	sendLetter(t, postfixSession(t, in, shopHost), "a@shop.example", mailText("a@shop.example", "once", ""))
	m := s.arrived(t, "once")
	if got := m.Fields("Authentication-Results"); len(got) != 1 || !strings.Contains(got[0], "dmarc=pass") {
		t.Errorf("results = %q; want those of the first smtpd", got)
	}
	sendLetter(t, postfixSession(t, again, shopHost), "a@shop.example", mailText("a@shop.example", "twice", ""))
	if got := s.arrived(t, "twice").Fields("Authentication-Results"); len(got) != 0 {
		t.Errorf("results after a second pass = %q; the page says that there are none", got)
	}
}

// Mail of sendmail(1) is told from that of a proxy filter on loopback.
func TestAttachLocalMailBesideAProxyFilter(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	relay := strings.ReplaceAll(attachBlock(t, "toml", "trusted_relay"), "mx.example.org", "mx.receiver.example")
	s, socket := attachSite(t, daemontest.Config{Extra: relay})
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{Milter: socket, MainCF: "non_smtpd_milters = $smtpd_milters"})
	received := "Received: from a (a [192.0.2.10]) by mx.receiver.example (Postfix) with ESMTP id x; date\r\n"
	s.submitLocally(t, "x@shop.example", "local", forgedTop+received)
	if m := s.arrived(t, "local"); isForged(m) || len(m.Fields("Authentication-Results")) > 0 {
		t.Errorf("header\n%s\nwant no results", m.Header())
	}
	if f := s.last(t).Facts; f.Skip != policy.Loopback || f.Relay.IsValid() {
		t.Errorf("skip %q, relay %v; want loopback and no relay", f.Skip, f.Relay)
	}
}

func TestAttachReleaseFromHoldKeepsTheResults(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{Quarantine: "hold"})
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{MainCF: attachBlock(t, "main.cf", "non_smtpd_milters", "unix:dmarcgate/milter.sock", socket)})
	for line := range strings.Lines(attachBlock(t, "postfix", "postsuper")) {
		words := strings.Fields(line)
		subject := words[1]
		r := sendLetter(t, s.session(t, thirdPartyHost), "x@forwarder.example", mailText("x@quarantine.example", subject, ""))
		if held, err := s.postfix.HoldQueue(); err != nil || len(held) != 1 {
			t.Fatalf("hold queue = %+v, %v; want one message", held, err)
		}
		before := strings.Count(s.log.String(), " qid=")
		if _, err := s.postfix.Command(words[0], words[1], r.QueueID()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.postfix.Command("postqueue", "-f"); err != nil {
			t.Fatal(err)
		}
		m := s.arrived(t, subject)
		if got := m.Fields("Authentication-Results"); len(got) != 1 || !strings.Contains(got[0], "dmarc=fail") {
			t.Errorf("%s: results = %q; want those of the first check", words[1], got)
		}
		if after := strings.Count(s.log.String(), " qid="); after != before {
			t.Errorf("%s: %d messages were evaluated; want none", words[1], after-before)
		}
	}
}

func TestAttachSettingsThatChangeWhatIsChecked(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{})
	add, local, bare := freeAddr(t), freeAddr(t), freeAddr(t)
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{Milter: socket,
		MasterCF: add + " inet n - n - - smtpd -o cleanup_service_name=adds\nadds unix n - n - 0 cleanup -o always_add_missing_headers=yes\n" +
			local + " inet n - n - - smtpd -o local_header_rewrite_clients=static:all\n" +
			bare + " inet n - n - - smtpd -o smtpd_forbid_bare_newline=reject -o smtpd_forbid_bare_newline_exclusions=\n"})
	noFrom := []byte("To: user@receiver.example\r\nSubject: none\r\n\r\nHello.\r\n")
	if r := sendLetter(t, postfixSession(t, s.postfix.Addr(), shopHost), "a@shop.example", noFrom); r.Code != 550 {
		t.Errorf("mail without From: reply %v; want 550 without the setting", r)
	}
	sendLetter(t, postfixSession(t, add, shopHost), "a@shop.example", noFrom)
	if f := s.last(t).Facts; f.FromField != policy.FromOneMailbox || f.Authors[0].Domain != "shop.example" {
		t.Errorf("always_add_missing_headers: From %q, authors %+v; want the envelope sender's domain", f.FromField, f.Authors)
	}
	sendLetter(t, postfixSession(t, local, shopHost), "a@shop.example", noFrom)
	if f := s.last(t).Facts; f.FromField != policy.FromOneMailbox {
		t.Errorf("local_header_rewrite_clients: From %q; the page says that Postfix adds the field", f.FromField)
	}
	sendLetter(t, postfixSession(t, local, shopHost), "a@shop.example", mailText("bob", "completed", ""))
	if f := s.last(t).Facts; len(f.Authors) != 1 || f.Authors[0].Domain != "mx.receiver.example" {
		t.Errorf("local_header_rewrite_clients: authors %+v; want the name of this host", f.Authors)
	}
	rewrites := mtatest.StartPostfix(t, mtatest.PostfixConfig{Milter: socket, MainCF: "remote_header_rewrite_domain = local.invalid"})
	sendLetter(t, postfixSession(t, rewrites.Addr(), shopHost), "a@shop.example", noFrom)
	if f := s.last(t).Facts; f.FromField != policy.FromOneMailbox {
		t.Errorf("remote_header_rewrite_domain: From %q; the page says that Postfix adds the field", f.FromField)
	}
	sendLetter(t, postfixSession(t, rewrites.Addr(), shopHost), "a@shop.example", mailText("bob", "rewritten", ""))
	if f := s.last(t).Facts; len(f.Authors) != 1 || f.Authors[0].Domain != "local.invalid" {
		t.Errorf("remote_header_rewrite_domain: authors %+v; want local.invalid", f.Authors)
	}
	before := strings.Count(s.log.String(), " qid=")
	r := sendLetter(t, postfixSession(t, bare, shopHost), "a@shop.example", []byte("From: a@shop.example\r\nSubject: bare\r\n\r\none\ntwo\r\n"))
	if after := strings.Count(s.log.String(), " qid="); r.OK() || after != before {
		t.Errorf("smtpd_forbid_bare_newline = reject: reply %v, %d rows; want a refusal and none", r, after-before)
	}
}

// A field that reaches the daemon otherwise than it was sent breaks a good
// signature: by an old protocol, or by its length.
func TestAttachSettingsThatBreakSignatures(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	s, socket := attachSite(t, daemontest.Config{Quarantine: "tag"}, keys["rsa"].Zone("s1", "shop.example"))
	text := func(subject string) []byte {
		signed, err := keys["rsa"].SignSimple([]byte("From: a@shop.example\r\nSubject:"+subject+"\r\n\r\nHello.\r\n"), "shop.example", "s1")
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	old := freeAddr(t)
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{Milter: socket,
		MasterCF: old + " inet n - n - - smtpd -o milter_protocol=4\n"})
	for _, tt := range []struct {
		name, at, subject string
		result            string
		cut               bool
		action            policy.Action
	}{
		{"the default protocol", s.postfix.Addr(), "no space", "pass", false, policy.Accept},
		{"an older protocol", old, "no space", "fail", false, policy.Reject},
		{"a field of 50,000 bytes", s.postfix.Addr(), strings.Repeat(" "+strings.Repeat("x", 900)+"\r\n", 55) + " end", "pass", false, policy.Accept},
		{"a field of 70,000 bytes", s.postfix.Addr(), strings.Repeat(" "+strings.Repeat("x", 900)+"\r\n", 77) + " end", "fail", true, policy.Tag},
	} {
		sendLetter(t, postfixSession(t, tt.at, thirdPartyHost), "a@shop.example", text(tt.subject))
		row := s.last(t)
		if d := row.Facts.DKIM; len(d) != 1 || d[0].Result != tt.result || d[0].CutByMTA != tt.cut || row.Decision.Action != tt.action {
			t.Errorf("%s: DKIM %+v, action %v; want %s and %v", tt.name, d, row.Decision.Action, tt.result, tt.action)
		}
	}
}

func TestAttachSettingsThatChangeWhatLeaves(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{})
	// The defaults of Postfix, which the test's own main.cf changes. The sink
	// is taken for a host that does not know 8BITMIME.
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{Milter: socket,
		MainCF: "smtp_line_length_limit = 998\ndisable_mime_output_conversion = no\nsmtp_discard_ehlo_keywords = 8bitmime, smtputf8\n"})
	long := strings.Repeat("x", 1500)
	sendLetter(t, postfixSession(t, s.postfix.Addr(), shopHost), "a@shop.example", append(mailText("a@shop.example", "long", ""), long+"\r\n"...))
	if m := s.arrived(t, "long"); strings.Contains(string(m.Body()), long) {
		t.Error("a line of 1,500 bytes has left whole; the page says that it is broken")
	}
	text := "From: a@shop.example\r\nSubject: eight\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
	session := postfixSession(t, s.postfix.Addr(), shopHost)
	if r, err := session.Send(mtatest.Mail{From: "a@shop.example", Params: []string{"BODY=8BITMIME"}, Rcpts: []string{"user@receiver.example"}, Data: []byte(text)}); err != nil || !r.OK() {
		t.Fatalf("reply = %v, %v", r, err)
	}
	if m := s.arrived(t, "eight"); !strings.Contains(string(m.Body()), "Gr=C3=BC") {
		t.Errorf("the body has left as %q; the page says that it is converted", m.Body())
	}
}

func TestAttachTheRowIsNotTheLastWord(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	dir := mtatest.Dir(t)
	later := "unix:" + dir + "/later"
	s, socket := attachSite(t, daemontest.Config{Profile: "monitor", Extra: fmt.Sprintf(
		"[[listener]]\nname = \"later\"\naddress = %q\nsocket_mode = \"0666\"\nprofile = \"strict\"\n", later)})
	chain, soft := freeAddr(t), freeAddr(t)
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{
		MasterCF: fmt.Sprintf("%s inet n - n - - smtpd -o { smtpd_milters = %s, %s }\n%s inet n - n - - smtpd -o smtpd_milters=%s -o soft_bounce=yes\n", chain, socket, later, soft, later)})
	spoof := func(at string) int {
		return sendLetter(t, postfixSession(t, at, thirdPartyHost), "x@reject.example", mailText("x@reject.example", "spoof", "")).Code
	}
	if code := spoof(chain); code != 550 || !strings.Contains(s.log.String(), "listener=mta client="+thirdPartyHost.Addr) || !strings.Contains(s.log.String(), "action=accept") {
		t.Errorf("reply = %d, log\n%s\nwant 550 by the second milter, and accept by the first", code, s.log)
	}
	if code := spoof(soft); code/100 != 4 {
		t.Errorf("reply with soft_bounce = %d; want a temporary one", code)
	}
	rows, err := s.daemon.Store().Recent(t.Context(), 1)
	if err != nil || len(rows) != 1 || rows[0].Decision.Action != policy.Reject {
		t.Errorf("row with soft_bounce = %+v, %v; want reject", rows, err)
	}
}

func TestAttachSendmailCleansMailOfTheHost(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s := startSendmailSite(t, "strict", "tag")
	qid := s.accepted(t, s.session(t, mtatest.Client{}), "x@reject.example", mailText("x@reject.example", "local", forgedTop))
	if m := s.delivered(t, qid); isForged(m) {
		t.Errorf("header\n%s\nwant no forged field", m.Header())
	}
	if f := s.last(t).Facts; f.Skip != policy.Loopback || f.Forged != 2 {
		t.Errorf("skip %q, %d forged; want loopback and 2", f.Skip, f.Forged)
	}
}

// The page shows the lines of the README.
func TestAttachPageHasTheLinesOfTheREADME(t *testing.T) {
	for _, kind := range []string{"main.cf", "sendmail.mc"} {
		if a, b := blocks(t, "README.md", kind)[0], blocks(t, "docs/attach.md", kind)[0]; a != b {
			t.Errorf("docs/attach.md has the %s block\n%s\nREADME.md\n%s", kind, b, a)
		}
	}
}
