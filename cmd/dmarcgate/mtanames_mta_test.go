//go:build mta

package main

import (
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/mtatest"
)

// namedSite is a daemon without authserv_id behind a Postfix of this name.
func namedSite(t *testing.T, hostname string, c daemontest.Config) *mtaSite {
	t.Helper()
	dns := mtatest.StartDNS(t, postfixZone)
	c.Mode, c.Unnamed = "0666", true
	s := &mtaSite{}
	s.daemon, s.log = startDaemon(t, dns.Addr(), c)
	address := "unix:" + s.daemon.Listeners()[0].Config.Address.Addr
	if s.daemon.Listeners()[0].Config.Address.Network == "tcp" {
		address = "inet:" + strings.TrimPrefix(s.daemon.Listeners()[0].Addr(), "tcp:")
	}
	s.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{Milter: address, MainCF: "myhostname = " + hostname})
	return s
}

// headerOf sends a message with forged fields and returns the header that
// arrives.
func (s *mtaSite) headerOf(t *testing.T, forged ...string) string {
	t.Helper()
	var fields strings.Builder
	for _, id := range forged {
		fields.WriteString("Authentication-Results: " + id + "; dmarc=pass header.from=forged.example\r\n")
	}
	r := sendLetter(t, s.session(t, shopHost), "bounce@shop.example", mailText("orders@shop.example", "names", fields.String()))
	if r.Code != 250 {
		t.Fatalf("reply = %v; want 250", r)
	}
	return string(s.delivered(t, r.QueueID()).Header())
}

func wantHeader(t *testing.T, header, id string, kept ...string) {
	t.Helper()
	if !strings.HasPrefix(header, "Authentication-Results: "+id+";") || strings.Count(header, "forged.example") != len(kept) {
		t.Errorf("header:\n%s\nwant our field under %s on top, and the forged ones under %q alone", header, id, kept)
	}
	for _, k := range kept {
		if !strings.Contains(header, "Authentication-Results: "+k+"; dmarc=pass header.from=forged.example") {
			t.Errorf("header:\n%s\nwant the field under %s", header, k)
		}
	}
}

// The MTA's name is the one that filters and mail readers know; that of the
// host may be another, and is often short.
func TestPostfixGivesOurNameByItsMacro(t *testing.T) {
	s := namedSite(t, "mx7.site.example", daemontest.Config{})
	header := s.headerOf(t, "mx7.site.example", "MX7.Site.Example", `"mx7.site.example"`, hostName(t), "mx8.site.example", "mx7")
	wantHeader(t, header, "mx7.site.example", "mx8.site.example", "mx7")
	if !strings.Contains(s.log.String(), "name=mx7.site.example") {
		t.Errorf("the log does not name the MTA:\n%s", s.log)
	}
}

func TestPostfixOverTCPGivesItsNameWhenItIsTrusted(t *testing.T) {
	s := namedSite(t, "mx7.site.example", daemontest.Config{TCP: "trust_mta_name = true"})
	wantHeader(t, s.headerOf(t, "mx7.site.example", hostName(t), "mx8.site.example"), "mx7.site.example", "mx8.site.example")
	s = namedSite(t, "mx7.site.example", daemontest.Config{TCP: "trust_mta_name = false"})
	wantHeader(t, s.headerOf(t, "mx7.site.example", hostName(t)), hostName(t), "mx7.site.example")
	if !strings.Contains(s.log.String(), "trust_mta_name is not set") {
		t.Errorf("the log does not say why the MTA's name is not taken:\n%s", s.log)
	}
}

func TestPostfixWithAShortNameGetsTheHostName(t *testing.T) {
	s := namedSite(t, "mx7", daemontest.Config{})
	wantHeader(t, s.headerOf(t, "mx7", hostName(t)), hostName(t), "mx7")
	if !strings.Contains(s.log.String(), "using the host name in Authentication-Results") {
		t.Errorf("the log has no warning:\n%s", s.log)
	}
}
