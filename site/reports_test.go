package site

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/config"
	"dmarcgate/enforce"
	"dmarcgate/report/gate"
)

// reportsConfig reads a configuration with these lines in [reports].
func reportsConfig(t *testing.T, lines ...string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("f", []byte(`authserv_id = "mx.example.org"
listener = [{name = "in", address = "local:/run/a.sock", profile = "strict"}]
[reports]
`+strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

var fullReports = []string{
	`send = true`, `organization = "Example"`, `email = "dmarc@reports.example.org"`, `submitter = "mx.reports.example.org"`,
	`selector = "r1"`, `key_file = "/etc/dmarcgate/key"`, `smarthost = "127.0.0.1:25"`,
}

func TestGatesAreClosedByTheDefaultConfiguration(t *testing.T) {
	now := time.Now()
	for _, lines := range [][]string{nil, {"send = true"}, fullReports} {
		g := ReportsOf(reportsConfig(t, lines...), "MIIB").Gate
		if g.MaySend(now) || g.Closed(now) == gate.Open {
			t.Errorf("[reports] %q: the gate is open; want it closed until the identity is verified", lines)
		}
	}
}

// config names what is missing before a start; the gate holds what is missing at
// run time. Both must mean the same keys.
func TestGatesMissAKeyThatCheckConfigNames(t *testing.T) {
	for i, line := range fullReports[1:] {
		key, _, _ := strings.Cut(line, " ")
		cfg := reportsConfig(t, slices.Delete(slices.Clone(fullReports), i+1, i+2)...)
		record := "v=DKIM1; p=MIIB"
		if cfg.Reports.KeyFile == "" {
			record = ""
		}
		missing := ReportsOf(cfg, record).Gate.Identity.Missing()
		missing = slices.DeleteFunc(missing, func(k string) bool { return k == "bounce_domain" }) // that of email
		if !slices.Equal(missing, cfg.Reports.Missing()) || !slices.Equal(missing, []string{key}) {
			t.Errorf("without %s the gate misses %q, the configuration %q", key, missing, cfg.Reports.Missing())
		}
	}
}

func TestGatesOpenWithAllKeysSendFalseCloses(t *testing.T) {
	now := time.Now()
	for _, send := range []string{"true", "false"} {
		lines := append([]string{"send = " + send}, fullReports[1:]...)
		g := ReportsOf(reportsConfig(t, lines...), "MIIB").Gate
		g.Verified, g.Enabled = gate.Verified{Identity: g.Identity, At: now}, now.Add(-8*24*time.Hour)
		if got := g.MaySend(now); got != (send == "true") {
			t.Errorf("send = %s: MaySend = %v", send, got)
		}
	}
}

func TestReportsOfDestinations(t *testing.T) {
	r := ReportsOf(reportsConfig(t, `schema = "rfc7489"`, `max_per_host_per_day = 5`,
		`destination = [{host = "a.shop.example", schema = "rfc9990", max_per_day = 7}, {host = "b.shop.example", max_per_day = 9}, {host = "c.example"}]`), "")
	for host, want := range map[string]string{"a.shop.example": "rfc9990", "b.shop.example": "rfc7489", "x.example": "rfc7489"} {
		if got := r.Schema(host); got != want {
			t.Errorf("Schema(%q) = %q; want %q", host, got, want)
		}
	}
	if caps := r.Gate.Caps; caps.PerHost != 5 || len(caps.Hosts) != 1 || caps.Hosts["shop.example"] != 9 {
		t.Errorf("caps = %+v; want 5 a host, and 9 for the organization of two hosts", caps)
	}
}

func TestReportAddressesOfTheSite(t *testing.T) {
	got := reportAddresses(reportsConfig(t, `email = "DMARC@reports.example.org"`, `addresses = ["rua@example.org"]`).Reports)
	want := enforce.ReportAddresses{Mailboxes: []string{"dmarc@reports.example.org", "rua@example.org"}, BounceDomain: "reports.example.org"}
	if !slices.Equal(got.Mailboxes, want.Mailboxes) || got.BounceDomain != want.BounceDomain {
		t.Errorf("addresses = %+v; want %+v", got, want)
	}
	if got := reportAddresses(reportsConfig(t).Reports); len(got.Mailboxes) != 0 || got.BounceDomain != "" {
		t.Errorf("addresses without [reports] = %+v; want none", got)
	}
}

func TestPrivacyReportCatchUpEndsWithTheFactsOfRows(t *testing.T) {
	for lines, want := range map[string]time.Duration{
		"": 7 * 24 * time.Hour, "[privacy]\nshorten_ip_after = \"1h\"": 0, "[privacy]\nshorten_ip_after = \"3d\"": 48 * time.Hour,
		"[store]\nretention = \"2d\"": 24 * time.Hour, "[store]\nretention = \"0s\"": 7 * 24 * time.Hour,
		"[store]\nretention = \"1d\"\n[store.postgres]\nurl = \"postgres://d@db.example/d\"\nretention = \"3d\"": 48 * time.Hour,
	} {
		if got := ReportCatchUp(reportsConfig(t, lines)); got != want {
			t.Errorf("ReportCatchUp of %q = %v; want %v", lines, got, want)
		}
	}
}

// The configuration that docs/reports.md shows has all that sending needs.
func TestReportsPageShowsACompleteConfiguration(t *testing.T) {
	page, err := os.ReadFile("../docs/reports.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```toml\n")
	block, _, found := strings.Cut(block, "```")
	_, lines, _ := strings.Cut(block, "[reports]\n")
	if !found || !strings.Contains(lines, "send = false\n") {
		t.Fatal("docs/reports.md shows no [reports] with send = false")
	}
	cfg := reportsConfig(t, strings.Replace(lines, "send = false", "send = true", 1))
	if w := cfg.Warnings(); len(w) > 0 {
		t.Errorf("warnings of the configuration in docs/reports.md: %v; want none", w)
	}
	if missing := ReportsOf(cfg, "MIIB").Gate.Identity.Missing(); missing != nil {
		t.Errorf("the configuration in docs/reports.md lacks %q", missing)
	}
}
