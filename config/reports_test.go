package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// reportsHead is a configuration with one listener, before the keys of [reports].
const reportsHead = `authserv_id = "mx.example.org"
listener = [{name = "in", address = "local:/run/a.sock", profile = "strict"}]
[reports]
`

// reportsFull has each key that must be set, one a line.
var reportsFull = []string{
	`send = true`, `organization = "Example"`, `email = "dmarc@reports.example.org"`, `submitter = "reports.example.org"`,
	`selector = "r1"`, `key_file = "/etc/dmarcgate/key"`, `smarthost = "127.0.0.1:25"`,
	`bounce_listen = "unix:/run/bounces.sock"`, `own_domains = ["example.org"]`,
}

// reportWarningsOf returns the keys of the warnings of a configuration.
func reportWarningsOf(t *testing.T, lines ...string) []string {
	t.Helper()
	c, err := Parse("f", []byte(reportsHead+strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, p := range c.Warnings() {
		keys = append(keys, p.Key)
	}
	return keys
}

func TestGatesMissingKeysOfReportsAreNamed(t *testing.T) {
	if got := reportWarningsOf(t, reportsFull...); got != nil {
		t.Errorf("warnings of a complete configuration about %q; want none", got)
	}
	for i, line := range reportsFull[1:] {
		key, _, _ := strings.Cut(line, " ")
		got := reportWarningsOf(t, slices.Delete(slices.Clone(reportsFull), i+1, i+2)...)
		if want := []string{"reports." + key}; !slices.Equal(got, want) {
			t.Errorf("warnings without %s are about %q; want %q", key, got, want)
		}
	}
	want := []string{"organization", "email", "submitter", "selector", "key_file", "smarthost", "bounce_listen", "own_domains"}
	got := reportWarningsOf(t, "send = true")
	slices.Sort(got)
	for i := range want {
		want[i] = "reports." + want[i]
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("warnings of send = true alone are about %q; want %q", got, want)
	}
}

func TestGatesSendFalseNeedsNoKeyOfReports(t *testing.T) {
	for _, lines := range [][]string{nil, {"send = false"}, {"send = false", `email = "dmarc@example.org"`}} {
		if got := reportWarningsOf(t, lines...); got != nil {
			t.Errorf("warnings of %q are about %q; want none", lines, got)
		}
	}
}

func TestReportsWarnOfPlainTextToOtherHosts(t *testing.T) {
	tests := []struct {
		smarthost, tls string
		want           bool
	}{
		{"127.0.0.1:25", "none", false},
		{"[::1]:25", "may", false},
		{"localhost:25", "none", false},
		{"mail.example.org:25", "none", true},
		{"mail.example.org:25", "may", true},
		{"192.0.2.1:25", "none", true},
		{"mail.example.org:25", "encrypt", false},
		{"mail.example.org:25", "verify", false},
	}
	for _, tt := range tests {
		lines := append(slices.Clone(reportsFull[:6]), reportsFull[7:]...)
		got := reportWarningsOf(t, append(lines, fmt.Sprintf("smarthost = %q", tt.smarthost), fmt.Sprintf("tls = %q", tt.tls))...)
		if slices.Contains(got, "reports.tls") != tt.want || len(got) > 1 {
			t.Errorf("warnings of %s with tls = %q are about %q; about reports.tls: want %v", tt.smarthost, tt.tls, got, tt.want)
		}
	}
}

func TestPrivacyReportsWarnOfResultsThatAreGoneTooEarly(t *testing.T) {
	tests := []struct {
		name, lines string
		want        []string
	}{
		{"clients shortened after an hour", "[privacy]\nshorten_ip_after = \"1h\"", []string{"privacy.shorten_ip_after"}},
		{"clients shortened a minute too early", "[privacy]\nshorten_ip_after = \"41h59m\"", []string{"privacy.shorten_ip_after"}},
		{"clients shortened in time", "[privacy]\nshorten_ip_after = \"42h\"", nil},
		{"results kept for a day", "[store]\nretention = \"1d\"", []string{"store.retention"}},
		{"results kept for two days", "[store]\nretention = \"2d\"", nil},
		{"nothing recorded", "[store]\ndurability = \"off\"", []string{"store.durability"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := reportWarningsOf(t, append(slices.Clone(reportsFull), tt.lines)...); !slices.Equal(got, tt.want) {
				t.Errorf("warnings are about %q; want %q", got, tt.want)
			}
			if got := reportWarningsOf(t, tt.lines); got != nil {
				t.Errorf("warnings without reports are about %q; want none", got)
			}
		})
	}
}

func TestReportsBounceDomainIsThatOfEmail(t *testing.T) {
	for lines, want := range map[string]string{
		"": "", `email = "dmarc@Reports.example.org"`: "reports.example.org",
		"email = \"dmarc@reports.example.org\"\nbounce_domain = \"b.example.org\"": "b.example.org",
	} {
		c, err := Parse("f", []byte(reportsHead+lines))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Reports.BounceDomain; got != want {
			t.Errorf("bounce domain of %q = %q; want %q", lines, got, want)
		}
	}
}
