//go:build mta

package main

import (
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/mtatest"
)

// besideBlock returns a block of docs/beside.md that has a text in it.
func besideBlock(t *testing.T, kind, has string) string {
	t.Helper()
	for _, b := range blocks(t, "docs/beside.md", kind) {
		if strings.Contains(b, has) {
			return b
		}
	}
	t.Fatalf("docs/beside.md has no %s block with %q", kind, has)
	return ""
}

// startChain starts a Postfix with the milters in this order.
func (s *mtaSite) startChain(t *testing.T, more string, milters ...string) {
	t.Helper()
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{
		Milter: strings.Join(milters, ", "), MainCF: "non_smtpd_milters = $smtpd_milters", MasterCF: more})
}

// passing sends mail that passes by SPF, and returns our results of it.
func (s *mtaSite) passing(t *testing.T, subject string) []string {
	t.Helper()
	sendLetter(t, postfixSession(t, s.postfix.Addr(), shopHost), "a@shop.example", mailText("a@shop.example", subject, ""))
	var ours []string
	for _, f := range s.arrived(t, subject).Fields("Authentication-Results") {
		if strings.Contains(f, "dmarc=pass (p=reject dis=none)") {
			ours = append(ours, f)
		}
	}
	return ours
}

func TestBesideOpenDKIMThatSigns(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{})
	signer := mtatest.StartOpenDKIM(t, besideBlock(t, "opendkim.conf", "Mode s\n"))
	submission, auth := freeAddr(t), ""
	for _, o := range mtatest.StartSASL(t) {
		auth += "  -o " + o + "\n"
	}
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{
		MainCF: strings.NewReplacer("unix:dmarcgate/milter.sock", socket, "unix:opendkim/opendkim.sock", signer).
			Replace(besideBlock(t, "main.cf", "opendkim.sock")),
		MasterCF: submission + " inet n - n - - smtpd\n" + auth})
	session := postfixSession(t, submission, thirdPartyHost)
	if r, err := session.Command("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00alice\x00secret"))); err != nil || r.Code != 235 {
		t.Fatalf("AUTH = %v, %v", r, err)
	}
	sendLetter(t, session, "alice@receiver.example", mailText("alice@receiver.example", "a user", forgedTop))
	s.submitLocally(t, "root@receiver.example", "a program", forgedTop)
	for _, subject := range []string{"a user", "a program"} {
		m := s.arrived(t, subject)
		if got := m.Fields("DKIM-Signature"); len(got) != 1 || !strings.Contains(got[0], "d=receiver.example") || isForged(m) {
			t.Errorf("%s: header\n%s\nwant one signature, and no forged field", subject, m.Header())
		}
	}
	if got := s.passing(t, "from outside"); len(got) != 1 {
		t.Errorf("our results = %q; want them once", got)
	}
}

// By default OpenDKIM verifies and deletes our results behind us; in front of
// us, or under a name of its own, it does not.
func TestBesideOpenDKIMThatVerifies(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{})
	same := mtatest.StartOpenDKIM(t, "")
	other := mtatest.StartOpenDKIM(t, besideBlock(t, "opendkim.conf", "AuthservID"))
	for _, tt := range []struct {
		name    string
		milters []string
		want    int
	}{
		{"behind us with its defaults", []string{socket, same}, 0},
		{"in front of us with its defaults", []string{same, socket}, 1},
		{"behind us under another name", []string{socket, other}, 1},
		{"in front of us under another name", []string{other, socket}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.startChain(t, "", tt.milters...)
			if got := s.passing(t, tt.name); len(got) != tt.want {
				t.Errorf("our results = %q; want %d", got, tt.want)
			}
		})
	}
}

// rspamdFile cuts a block of the page into the name of the file, from its
// first line, and the text.
func rspamdFile(t *testing.T, has string) (name, text string) {
	t.Helper()
	first, text, _ := strings.Cut(besideBlock(t, "rspamd", has), "\n")
	return strings.TrimPrefix(first, "# "), text
}

func TestBesideRspamd(t *testing.T) {
	s, socket := attachSite(t, daemontest.Config{Profile: "strict", Quarantine: "tag"})
	headers, results := rspamdFile(t, "milter_headers")
	multimap, rule := rspamdFile(t, "multimap")
	rspamd := mtatest.StartRspamd(t, map[string]string{
		headers: results + "extended_spam_headers = true;\n", "local.d/actions.conf": "reject = 100; add_header = 90; greylist = 80;\n", multimap: strings.ReplaceAll(rule, "/etc/rspamd/dmarcgate.map", "DIR/dmarcgate.map"),
		"dmarcgate.map": "/./\n",
	})
	s.startChain(t, "", socket, rspamd)
	if got := s.passing(t, "good"); len(got) != 1 {
		t.Errorf("our results = %q; want them once\n%s", got, s.postfix.Log())
	}
	if m := s.arrived(t, "good"); len(m.Fields("X-Rspamd-Authentication-Results")) != 1 || len(m.Fields("Authentication-Results")) != 1 {
		t.Errorf("header\n%s\nwant the results of rspamd in a field of their own", m.Header())
	}
	for from, want := range map[string]bool{"x@quarantine.example": true, "x@none.example": false} {
		sendLetter(t, postfixSession(t, s.postfix.Addr(), thirdPartyHost), "y@forwarder.example", mailText(from, "for "+from, "X-DMARC-Quarantine: forged\r\n"))
		header := string(s.arrived(t, "for "+from).Header())
		if got := strings.Contains(header, "DMARCGATE_QUARANTINE"); got != want {
			t.Errorf("%s: rspamd has seen our field: %v; want %v\n%s", from, got, want, header)
		}
	}
}

// The routine of rspamd with its defaults removes our results, as the page says.
func TestBesideRspamdRemovesResults(t *testing.T) {
	s, socket := attachSite(t, daemontest.Config{})
	rspamd := mtatest.StartRspamd(t, map[string]string{"local.d/milter_headers.conf": "use = [\"authentication-results\"];\n"})
	s.startChain(t, "", socket, rspamd)
	if got := s.passing(t, "removed"); len(got) != 0 {
		t.Errorf("our results = %q; the page says that there are none", got)
	}
}

// amavis, when it verifies, removes results under its own name, by default the
// name of the host. It signs behind us, and so signs the cleaned message.
func TestBesideAmavis(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{})
	back := freeAddr(t)
	services := attachBlock(t, "master.cf", "127.0.0.1:10025", "127.0.0.1:10025", back)
	filter := func(lines string) (transport string) {
		at := freeAddr(t)
		mtatest.StartAmavis(t, at, back, lines)
		host, port, _ := net.SplitHostPort(at)
		return fmt.Sprintf("smtp:[%s]:%s", host, port)
	}
	tests := []struct {
		name, lines string
		want        int
	}{
		{"with the setting of Debian", "$enable_dkim_verification = 0;", 1},
		{"verifying as the page has it", besideBlock(t, "amavis", "$myauthservid"), 1},
		{"verifying under the name of the host", "$enable_dkim_verification = 1;", 0},
	}
	var in, filters []string
	for i, tt := range tests {
		in, filters = append(in, freeAddr(t)), append(filters, filter(tt.lines))
		services += fmt.Sprintf("%s inet n - n - - smtpd -o content_filter=%s\n", in[i], filters[i])
	}
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{Milter: socket, MasterCF: services,
		MainCF: "non_smtpd_milters = $smtpd_milters\ncontent_filter = " + filters[1]})
	for i, tt := range tests {
		sendLetter(t, postfixSession(t, in[i], shopHost), "a@shop.example", mailText("a@shop.example", tt.name, ""))
		if got := s.arrived(t, tt.name).Fields("Authentication-Results"); len(got) != tt.want || tt.want > 0 && !strings.Contains(got[0], "dmarc=pass") {
			t.Errorf("%s: results = %q; want %d of ours", tt.name, got, tt.want)
		}
	}
	s.submitLocally(t, "root@receiver.example", "a program", forgedTop)
	if m := s.arrived(t, "a program"); len(m.Fields("DKIM-Signature")) != 1 || isForged(m) {
		t.Errorf("header\n%s\nwant one signature, and no forged field", m.Header())
	}
}

// SpamAssassin reads our results, and never forged ones. Without
// "authres_networks all" it reads none, as the page says.
func TestBesideSpamAssassin(t *testing.T) {
	t.Parallel() // waits for the MTA most of the time
	s, socket := attachSite(t, daemontest.Config{})
	block := besideBlock(t, "spamassassin", "AuthRes")
	passed := "header DMARC_PASSED eval:check_authres_result('dmarc', 'pass')\n"
	reads := mtatest.StartSpamAssassin(t, block+passed)
	byDefault := mtatest.StartSpamAssassin(t, strings.ReplaceAll(block, "authres_networks all\n", "")+passed)
	apart := freeAddr(t)
	s.startChain(t, fmt.Sprintf("%s inet n - n - - smtpd -o { smtpd_milters = %s, %s }\n", apart, socket, byDefault), socket, reads)
	for _, tt := range []struct {
		name, at, from string
		client         mtatest.Client
		want           string
	}{
		{"good", s.postfix.Addr(), "a@shop.example", shopHost, "DMARC_PASSED"},
		{"spoof", s.postfix.Addr(), "x@none.example", thirdPartyHost, "DMARC_FAILED"},
		{"by default", apart, "x@none.example", thirdPartyHost, "none"},
	} {
		sendLetter(t, postfixSession(t, tt.at, tt.client), tt.from, mailText(tt.from, tt.name, strings.ReplaceAll(forgedTop, "forged.example", "none.example")))
		status := strings.Join(s.arrived(t, tt.name).Fields("X-Spam-Status"), "\n")
		if !strings.HasSuffix(strings.TrimSpace(status), "tests="+tt.want) {
			t.Errorf("%s: status of SpamAssassin = %q; want %s alone", tt.name, status, tt.want)
		}
	}
}
