package main

import (
	"strings"
	"testing"

	"dmarcgate/config"
	"dmarcgate/site"
)

func TestCheckConfigShowsWarningsOfTheConfiguration(t *testing.T) {
	const head = "[[listener]]\nname = \"mta\"\naddress = \"tcp:127.0.0.1:0\"\nprofile = \"strict\"\n"
	tests := []struct {
		name, text, warning string
	}{
		{"no name over TCP", head, ":1: listener.authserv_id: is not set"},
		{"a name over TCP", "authserv_id = \"mx.example.org\"\n" + head, ""},
		{"a name that is trusted", head + "trust_mta_name = true\n", ""},
		{"a name of the listener", head + "authserv_id = \"mx.example.org\"\n", ""},
		{"a Unix socket", strings.Replace(head, "tcp:127.0.0.1:0", "unix:/run/x.sock", 1), ""},
		{"a large provider that seals", head + "trust_mta_name = true\n[conformant]\ntrusted_sealers = [\"google.com\"]\n", ":7: conformant.trusted_sealers: the message is sealed by \"google.com\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, "dmarcgate.toml", tt.text)
			code, out, stderr := command("check-config", "--no-host", "-c", path)
			if code != exitOK || strings.Contains(out, "warning: ") != (tt.warning != "") || !strings.Contains(out, tt.warning) {
				t.Errorf("check-config = %d, %s%s; want the warning %q", code, out, stderr, tt.warning)
			}
			want := exitOK
			if tt.warning != "" {
				want = exitFailed
			}
			if code, _, _ := command("check-config", "--no-host", "--strict", "-c", path); code != want {
				t.Errorf("check-config --strict = %d; want %d", code, want)
			}
		})
	}
}

// checked is what check-config --json prints.
type checked struct {
	OK                 bool
	Problems           []config.Problem
	Warnings           []site.Remark
	Rules, Tests, Maps int
}
