//go:build mta

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/internal/scale"
	"dmarcgate/policy"
)

// forgedFields end a header that is longer than the limits. All but the last
// two are forged; of the first, an MTA does not show us the name.
var forgedFields = "Authentication-Results: (" + strings.Repeat(strings.Repeat("x", 900)+"\r\n ", 68) + ") mx.receiver.example; dmarc=pass header.from=forged0.example\r\n" +
	"Authentication-Results: mx.receiver.example; dmarc=pass header.from=forged1.example\r\n" +
	"authentication-results : (x) \"MX.receiver.example\"; dmarc=pass\r\n header.from=forged2.example\r\n" +
	"X-DMARC-Quarantine: forged3\r\n" +
	"bimi-location: v=BIMI1; l=https://forged4.example/logo.svg\r\n" +
	"BIMI-Indicator: forged5\r\n" +
	"BIMI-Logo-Preference: forged6\r\n" +
	"Authentication-Results: mx.other.example; bimi=pass header.d=kept.example\r\n" +
	"BIMI-Selector: v=BIMI1; s=kept\r\n"

// longHeaders are beyond the default limits: in fields, and in bytes. Postfix
// shows a milter 60,000 bytes of a field at most.
var longHeaders = []struct{ name, top string }{
	{"2,100 fields", strings.Repeat("X-Pad: x\r\n", 2100)},
	{"4.4 MB", strings.Repeat("X-Pad: "+strings.Repeat(strings.Repeat("x", 900)+"\r\n ", 65)+"y\r\n", 75)},
}

// forgedSite is a daemon with a listener for each profile, which trusts one
// client.
type forgedSite struct {
	mtaSite
	sockets map[string]string // by profile
}

var trustedHost = mtatest.Client{Addr: "192.0.2.77", Name: "trusted.shop.example", Helo: "trusted.shop.example"}

// startForged starts the daemon. more is further configuration.
func startForged(t *testing.T, more string) *forgedSite {
	t.Helper()
	dir := mtatest.Dir(t)
	s := &forgedSite{sockets: make(map[string]string)}
	var listeners string
	for _, p := range awkwardProfiles {
		socket := filepath.Join(dir, p.name)
		s.sockets[p.name] = socket
		listeners += fmt.Sprintf("[[listener]]\nname = %q\naddress = %q\nsocket_mode = \"0666\"\nprofile = %q\nquarantine = \"tag\"\ntrusted_networks = [%q]\n",
			p.name, "unix:"+socket, p.name, trustedHost.Addr)
	}
	s.daemon, s.log = startDaemon(t, dnstest.New(t, postfixZone+"!any\n").Addr(), daemontest.Config{
		Profile: "monitor", HasStore: true, Extra: more + listeners})
	return s
}

// forgedClients are the clients of which forged fields are removed.
var forgedClients = []struct {
	name   string
	client mtatest.Client
	auth   bool
}{{"sender", shopHost, false}, {"trusted", trustedHost, false}, {"authenticated", shopHost, true}}

// checkForged compares the answer to a message with a long header, and what was
// delivered.
func checkForged(t *testing.T, s *mtaSite, profile, client string, r mtatest.Reply, delivered func() mtatest.Mail) {
	t.Helper()
	rows, err := s.daemon.Store().Recent(t.Context(), 1)
	if err != nil || len(rows) != 1 {
		t.Fatalf("Recent(1) = %d rows, %v; want one", len(rows), err)
	}
	f := rows[0].Facts
	skip := map[string]policy.Skip{"trusted": policy.TrustedNetwork, "authenticated": policy.Authenticated}[client]
	if f.Forged != 7 || !f.HeaderTruncated || f.Skip != skip {
		t.Errorf("%d forged fields, truncated %v, skip %q; want 7, true, %q", f.Forged, f.HeaderTruncated, f.Skip, skip)
	}
	if profile == "strict" && client == "sender" {
		if r.Code != 550 || !strings.Contains(r.Text, "header longer than the limits") {
			t.Errorf("reply = %v; want 550", r)
		}
		return
	}
	if r.Code != 250 {
		t.Fatalf("reply = %v; want 250", r)
	}
	header := unfolded(string(delivered().Header()))
	if strings.Contains(header, "forged") || !strings.Contains(header, "bimi=pass header.d=kept.example") || !strings.Contains(header, "BIMI-Selector: v=BIMI1; s=kept") {
		t.Errorf("header ends in\n%s\nwant no forged field, and the others", header[max(0, len(header)-2000):])
	}
	if tagged := strings.Contains(header, "X-DMARC-Quarantine:"); tagged != (profile == "conformant" && client == "sender") {
		t.Errorf("tagged = %v", tagged)
	}
	const ours = `Authentication-Results: mx.receiver.example; spf=pass smtp.mailfrom=shop.example; dkim=none; dmarc=permerror reason="header longer than the limits"`
	if f.Skip == "" && !strings.HasPrefix(strings.ReplaceAll(header, "\r", ""), ours) {
		t.Errorf("the header begins with\n%s\nwant %s", header[:300], ours)
	}
}

func TestPostfixRemovesForgedFieldsBeyondTheLimits(t *testing.T) {
	s := startForged(t, "")
	addresses, services := make(map[string]string), ""
	for profile, socket := range s.sockets {
		for _, c := range forgedClients {
			at, macros := awkwardAddress(t), ""
			if c.auth { // Postfix sends these where a client has not said AUTH
				macros = "\n  -o { milter_macro_defaults = auth_authen=alice, auth_type=PLAIN }"
			}
			addresses[profile+c.name] = at
			services += fmt.Sprintf("%s inet n - n - 100 smtpd\n  -o smtpd_milters=unix:%s%s\n", at, socket, macros)
		}
	}
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{MasterCF: services})
	for _, h := range longHeaders {
		for _, p := range awkwardProfiles {
			for _, c := range forgedClients {
				t.Run(h.name+", "+p.name+", "+c.name, func(t *testing.T) {
					session := postfixSession(t, addresses[p.name+c.name], c.client)
					r := sendLetter(t, session, "bounce@shop.example", []byte(h.top+forgedFields+"From: orders@shop.example\r\nSubject: long\r\n\r\nHello.\r\n"))
					checkForged(t, &s.mtaSite, p.name, c.name, r, func() mtatest.Mail { return s.delivered(t, r.QueueID()) })
				})
			}
		}
	}
}

// postfixSession opens a session with a service of its own.
func postfixSession(t *testing.T, service string, c mtatest.Client) *mtatest.Session {
	t.Helper()
	session, err := mtatest.Dial(service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	for _, step := range []func() (mtatest.Reply, error){
		func() (mtatest.Reply, error) { return session.EHLO("harness") },
		func() (mtatest.Reply, error) { return session.XCLIENT(c.Addr, c.Name, "") },
		func() (mtatest.Reply, error) { return session.EHLO(c.Helo) },
	} {
		if r, err := step(); err != nil || !r.OK() {
			t.Fatalf("reply = %v, %v", r, err)
		}
	}
	return session
}

// Sendmail refuses a header of more than 32 KiB unless it is told otherwise.
func TestSendmailRemovesForgedFieldsBeyondTheLimits(t *testing.T) {
	s := startForged(t, "")
	for _, p := range awkwardProfiles {
		for _, c := range forgedClients {
			more := "define(`confMAX_HEADERS_LENGTH', `0')dnl\n"
			if c.auth {
				more += "LOCAL_CONFIG\nD{auth_authen}alice\nD{auth_type}PLAIN\n"
			}
			filter := "S=local:" + s.sockets[p.name] + ", F=T, T=C:30s;S:30s;R:30s;E:5m"
			sendmail := s.mtaSite
			sendmail.sendmail = mtatest.StartSendmail(t, mtatest.SendmailConfig{Milter: filter, MC: more})
			for _, h := range longHeaders {
				t.Run(h.name+", "+p.name+", "+c.name, func(t *testing.T) {
					r := sendLetter(t, sendmail.session(t, c.client), "bounce@shop.example", []byte(h.top+forgedFields+"From: orders@shop.example\r\nSubject: long\r\n\r\nHello.\r\n"))
					checkForged(t, &s.mtaSite, p.name, c.name, r, func() mtatest.Mail { return sendmail.delivered(t, r.QueueID()) })
				})
			}
		}
	}
}

// generatedTime is how long Postfix and Sendmail may take to deliver a message.
const generatedTime = 30 * time.Second

// Generated headers are cleaned as the property says, by real MTAs, too.
// DMARCGATE_SCALE multiplies them.
func TestForgedFieldsAreRemovedByMTAs(t *testing.T) {
	s := startForged(t, "authserv_ids_also = [\"old.receiver.example\"]\n[limits]\nheader_fields = 100\n")
	p := mtatest.StartPostfix(t, mtatest.PostfixConfig{Milter: "unix:" + s.sockets["monitor"]})
	sm := mtatest.StartSendmail(t, mtatest.SendmailConfig{
		Milter: "S=local:" + s.sockets["monitor"] + ", F=T, T=C:30s;S:30s;R:30s;E:5m", MC: "define(`confMAX_HEADERS_LENGTH', `0')dnl",
	})
	mtas := []struct {
		name      string
		session   func(mtatest.Client) (*mtatest.Session, error)
		delivered func(context.Context, func(mtatest.Mail) bool) (mtatest.Mail, error)
	}{{"Postfix", p.Session, p.Delivered}, {"Sendmail", sm.Session, sm.Delivered}}
	for i, mta := range mtas {
		t.Run(mta.name, func(t *testing.T) {
			g := newForger(uint64(10 + i))
			session, err := mta.session(shopHost)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 15 * scale.Of(t) {
				fields := g.header(140)
				// No name of a field for an MTA: the header ends there.
				fields = slices.DeleteFunc(fields, func(f forgedField) bool { return strings.Contains(f.raw, "\u017f") })
				var text strings.Builder
				for _, f := range fields {
					text.WriteString(f.raw)
				}
				text.WriteString("\r\nHello.\r\n")
				r := sendLetter(t, session, "bounce@shop.example", []byte(text.String()))
				ctx, cancel := context.WithTimeout(t.Context(), generatedTime)
				m, err := mta.delivered(ctx, func(m mtatest.Mail) bool { return m.QueueID() == r.QueueID() })
				cancel()
				if err != nil {
					t.Fatalf("header %d: reply %v, %v", n, r, err)
				}
				header := string(m.Header())
				for _, f := range fields {
					if left := strings.Contains(header, f.mark); left == f.forged {
						t.Fatalf("header %d: %q, forged %v, is left: %v\n%s", n, f.raw, f.forged, left, header)
					}
				}
			}
		})
	}
}

// The bounds of removals are such that MTAs make them in a few seconds. The
// times that it logs are those of docs/flow.md.
func TestForgedFieldsAreRemovedUpToBounds(t *testing.T) {
	const boundTime = time.Minute // a second on an idle machine
	s := startForged(t, "")
	p := mtatest.StartPostfix(t, mtatest.PostfixConfig{Milter: "unix:" + s.sockets["monitor"]})
	sm := mtatest.StartSendmail(t, mtatest.SendmailConfig{
		Milter: "S=local:" + s.sockets["monitor"] + ", F=T, T=C:30s;S:30s;R:30s;E:5m", MC: "define(`confMAX_HEADERS_LENGTH', `0')dnl",
	})
	for name, session := range map[string]func(mtatest.Client) (*mtatest.Session, error){"Postfix": p.Session, "Sendmail": sm.Session} {
		for _, tt := range []struct{ above, forged, code int }{
			{0, 0, 250}, {0, 100, 250}, {0, 300, 250}, {0, 1000, 250}, {0, 1001, 550}, {9400, 0, 250}, {9400, 1000, 250}, {10_000, 1000, 550},
		} {
			t.Run(fmt.Sprintf("%s, %d below %d", name, tt.forged, tt.above), func(t *testing.T) {
				smtp, err := session(shopHost)
				if err != nil {
					t.Fatal(err)
				}
				text := strings.Repeat("X: y\r\n", tt.above) + strings.Repeat("Authentication-Results: mx.receiver.example; x=pass\r\n", tt.forged)
				start := time.Now()
				r := sendLetter(t, smtp, "bounce@shop.example", mailText("orders@shop.example", "many", text))
				took := time.Since(start)
				t.Logf("%v after %v", r, took)
				if r.Code != tt.code || took > boundTime {
					t.Errorf("reply = %v after %v; want %d within %v", r, took, tt.code, boundTime)
				}
			})
		}
	}
}
