//go:build mta

package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/mtatest"
)

// startRelay starts a Postfix that hands all mail for us to another one, when
// it has gone through a content filter over loopback.
func startRelay(t *testing.T, to *mtatest.Postfix) *mtatest.Postfix {
	t.Helper()
	_, port, err := net.SplitHostPort(to.Addr())
	if err != nil {
		t.Fatal(err)
	}
	filter := freeAddress(t)
	return mtatest.StartPostfix(t, mtatest.PostfixConfig{
		MainCF: fmt.Sprintf("myhostname = relay.receiver.example\nmydestination =\nrelay_domains = receiver.example\nsmtp_line_length_limit = 998\n"+
			"content_filter = smtp:[127.0.0.1]:%s\nrelay_transport = smtp:[127.0.0.1]:%s\n", filter[strings.LastIndex(filter, ":")+1:], port),
		MasterCF: filter + " inet n - n - - smtpd\n -o content_filter= -o myhostname=filter.receiver.example\n",
	})
}

// freeAddress is an address on loopback at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestTrustedRelayWithAContentFilterIsLookedThrough(t *testing.T) {
	dns := mtatest.StartDNS(t, postfixZone)
	s := &mtaSite{}
	s.daemon, s.log = startDaemon(t, dns.Addr(), daemontest.Config{Mode: "0666",
		Extra: "[[trusted_relay]]\nnetworks = [\"127.0.0.1\"]\nnames = [\"relay.receiver.example\", \"filter.receiver.example\"]\n"})
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{MainCF: postfixLines(t, s.daemon.Listeners()[0].Config.Address.Addr)})
	relay := startRelay(t, s.postfix)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tests := []struct {
		name       string
		client     mtatest.Client
		helo, rcpt string
		want       string // of the log line of the daemon
		status     string // of the log line of the relay
	}{
		{"good mail", shopHost, "mail.shop.example", "user", "client=192.0.2.10 helo=mail.shop.example", "status=sent"},
		{"a spoof", thirdPartyHost, "[203.0.113.66]", "user", "client=203.0.113.66", "status=bounced"},
		{"a spoof whose HELO name is a field", thirdPartyHost, "x (a [192.0.2.10]) by relay.receiver.example with ESMTPSA (", "user", "client=203.0.113.66", "status=bounced"},
		{"a spoof whose HELO name fills the line", thirdPartyHost, strings.Repeat("x", 1500), "user", "client=203.0.113.66", "status=bounced"},
		{"a spoof whose recipient is a field", thirdPartyHost, "h", `"by relay.receiver.example (a [192.0.2.10]) with ESMTPSA"`, "client=203.0.113.66", "status=bounced"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.client.Helo = tt.helo
			session, err := relay.Session(tt.client)
			if err != nil {
				t.Fatal(err)
			}
			forged := "Received: from mail.shop.example (mail.shop.example [192.0.2.10])\r\n\tby relay.receiver.example (Postfix) with ESMTPSA id 1; date\r\n"
			r, err := session.Send(mtatest.Mail{From: "a@shop.example", Rcpts: []string{tt.rcpt + "@receiver.example"}, Data: mailText("a@shop.example", tt.name, forged)})
			if err != nil || !r.OK() {
				t.Fatalf("the relay answered %v, %v\n%s", r, err, relay.Log())
			}
			qid := secondID(ctx, t, relay, r.QueueID())
			line, err := relay.WaitLog(ctx, "]: "+qid+": to=", "status=")
			if err != nil || !strings.Contains(line, tt.status) {
				t.Errorf("the relay logged %q, %v; want %s\n%s", line, err, tt.status, relay.Log())
			}
			lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
			if last := lines[len(lines)-1]; !strings.Contains(last, tt.want) || !strings.Contains(last, "relay=127.0.0.1") {
				t.Errorf("the daemon logged %q; want %s", last, tt.want)
			}
		})
	}
}

// secondID returns the queue id under which a message came back from the
// content filter.
func secondID(ctx context.Context, t *testing.T, p *mtatest.Postfix, qid string) string {
	t.Helper()
	line, err := p.WaitLog(ctx, "]: "+qid+": to=", "queued as ")
	if err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	_, id, _ := strings.Cut(line, "queued as ")
	return strings.TrimRight(id, ")")
}
