//go:build mta

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dmarcgate/control"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/mtatest"
)

// proxySite is a Postfix whose smtpd hands the content to a filter
// (smtpd_proxy_filter), which is a second smtpd. The milter stands on the first
// one, or on the second.
func proxySite(t *testing.T, second bool) (*served, *daemontest.Buffer, *mtatest.Postfix) {
	t.Helper()
	dns := dnstest.New(t, postfixZone+"!any\n")
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{
		Mode:  "0666",
		Extra: "[[trusted_relay]]\nnetworks = [\"127.0.0.1\"]\nnames = [\"mx.receiver.example\"]\n"})
	milter, inner := "unix:"+d.Listeners()[0].Config.Address.Addr, freeAddr(t)
	cfg := mtatest.PostfixConfig{
		Milter: milter, MainCF: "smtpd_proxy_filter = " + inner,
		MasterCF: inner + " inet n - n - 100 smtpd -o smtpd_proxy_filter= -o smtpd_milters=",
	}
	if second {
		cfg.Milter = ""
		cfg.MasterCF += milter
	}
	return d, log, mtatest.StartPostfix(t, cfg)
}

// spoof sends a message that the policy of reject.example refuses.
func spoof(t *testing.T, p *mtatest.Postfix, i int) mtatest.Reply {
	t.Helper()
	r, err := p.Send(thirdPartyHost, mtatest.Mail{
		From: "a@reject.example", Rcpts: []string{"user@receiver.example"}, Data: mailText("a@reject.example", fmt.Sprint("spoof ", i), ""),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	return r
}

// A milter on the smtpd in front of a proxy filter is never shown a header.
// Spoofs are delivered, which only the operator can end, and so is told.
func TestCoverageWarnsOfAProxyFilter(t *testing.T) {
	d, log, p := proxySite(t, false)
	warning := func() string {
		s := d.Status(t.Context())
		if s.Listeners[0].Warning == nil {
			return ""
		}
		return s.Listeners[0].Warning.Code
	}
	for i := range 20 {
		if got := warning(); got != "" {
			t.Fatalf("warning after %d messages = %q; want none so soon", i, got)
		}
		if r := spoof(t, p, i); r.Code != 250 {
			t.Fatalf("answer to a spoof that no milter sees = %v; want 250", r)
		}
	}
	daemontest.Eventually(t, "a warning in the status", func() bool { return warning() == "no_header" })
	var b strings.Builder
	if err := control.Tree(d.Status(t.Context()), time.Now()).Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"WARNING: of the last 20 messages 20 showed this listener no header", "smtpd_proxy_filter"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("status prints\n%s\nwant %q in it", b.String(), want)
		}
	}
	for i := range 5 {
		spoof(t, p, i)
	}
	daemontest.Eventually(t, "the log line", func() bool { return strings.Contains(log.String(), "finding=no_header") })
	if n := strings.Count(log.String(), "finding="); n != 1 {
		t.Errorf("log lines with a finding = %d; want 1", n)
	}
	web := "http://" + d.Web().String()
	if _, body := daemontest.Get(t, web+"/metrics"); !strings.Contains(body, `dmarcgate_listener_warning{listener="mta",warning="no_header"} 1`) {
		t.Error("the metric does not tell")
	}
}

// What the warning advises works: behind the filter, with the first smtpd as a
// trusted relay, the client is known and its spoofs are refused.
func TestCoverageOfASecondSMTPDBehindAProxyFilter(t *testing.T) {
	d, log, p := proxySite(t, true)
	for i := range 20 {
		if r := spoof(t, p, i); r.Code != 550 {
			t.Fatalf("answer to a spoof = %v; want 550\n%s\n%s", r, log.String(), p.Log())
		}
	}
	if w := d.Status(t.Context()).Listeners[0].Warning; w != nil {
		t.Errorf("warning = %+v; want none", w)
	}
	row := (&mtaSite{daemon: d, log: log}).last(t)
	if row.Facts.Client.String() != thirdPartyHost.Addr || !row.Facts.Relay.IsLoopback() {
		t.Errorf("client %v by relay %v; want %s by a loopback address", row.Facts.Client, row.Facts.Relay, thirdPartyHost.Addr)
	}
}
