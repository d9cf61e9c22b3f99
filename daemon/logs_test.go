package daemon

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
)

// The lines are made of the keys of a message's line, which enforce writes.
func TestDaemonWritesLinesOfOpenDMARCForEachEvaluatedMessage(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{Trusted: "192.0.2.9", Extra: "[log]\nopendmarc_lines = true\n"})
	if !refuses(t, d, "4XyZ04") {
		t.Fatal("a spoofed message is not refused")
	}
	trusted := daemontest.SpoofedMail("4XyZ05")
	trusted.Client = netip.MustParseAddr("192.0.2.9")
	daemontest.Send(t, d.Listeners()[0].Addr(), trusted)
	var got []string
	for line := range strings.Lines(log.String()) {
		if strings.HasPrefix(line, "4XyZ") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if want := []string{"4XyZ04: SPF(mailfrom): bank.example fail", "4XyZ04: bank.example fail"}; !slices.Equal(got, want) {
		t.Errorf("lines of OpenDMARC = %q; want %q\n%s", got, want, log)
	}
}

func TestReloadNamesLogSettingsThatNeedARestart(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Extra: "[log]\nlevel = \"info\"\n"})
	for _, tt := range []struct {
		old, new string
		restart  bool
	}{
		{`level = "info"`, `level = "warn"`, false},
		{`level = "warn"`, "level = \"warn\"\nto = \"syslog\"", true},
		{`to = "syslog"`, `opendmarc_lines = true`, true},
		{`opendmarc_lines = true`, `syslog_facility = "local0"`, true},
	} {
		daemontest.Change(t, d.state.path, tt.old, tt.new)
		r := d.Reload()
		if !r.OK || slices.Contains(r.Restart, "log") != tt.restart {
			t.Errorf("a reload with %q = %+v; want log to need a restart: %v", tt.new, r, tt.restart)
		}
	}
}
