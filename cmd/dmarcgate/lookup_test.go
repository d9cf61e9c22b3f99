package main

import (
	"encoding/json"
	"strings"
	"testing"

	"dmarcgate/internal/dnstest"
)

const lookupZone = `
quiet.example.        MX  0 .
_dmarc.bank.example.  TXT "v=DMARC1; p=reject; pct=abc"
`

func TestLookupRefusesAWrongCommandLine(t *testing.T) {
	for about, tt := range map[string]struct {
		args []string
		text string
	}{
		"no domain":               {[]string{"lookup"}, "one domain, or --batch"},
		"a domain and a batch":    {[]string{"lookup", "a.example", "--batch", "-"}, "one domain, or --batch"},
		"what is no domain":       {[]string{"lookup", "a b"}, "not a domain"},
		"an address":              {[]string{"lookup", "192.0.2.1"}, "not a domain"},
		"mail text as JSON":       {[]string{"lookup", "a.example", "--json", "--mail-text"}, "--mail-text goes with one domain"},
		"mail text of many":       {[]string{"lookup", "--batch", "-", "--mail-text"}, "--mail-text goes with one domain"},
		"a flag that is not ours": {[]string{"lookup", "a.example", "--xml"}, "--xml"},
	} {
		if code, out, stderr := command(tt.args...); code != exitUsage || !strings.Contains(stderr, tt.text) || out != "" {
			t.Errorf("%s: run(%q) = %d, %q, %q; want %d and %q", about, tt.args, code, out, stderr, exitUsage, tt.text)
		}
	}
}

func TestLookupWorksWithoutAConfiguration(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	code, out, stderr := command("lookup", "--dns", dns.Addr(), "quiet.example")
	if code != 0 || !strings.Contains(out, "record: none") {
		t.Fatalf("lookup = %d, %s%s; want 0 and no record, without a configuration file", code, out, stderr)
	}
}

func TestLookupFormsAndExitCode(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	cfg := toolConfig(t, dns.Addr())
	domains := write(t, "domains.txt", "bank.example\n")
	for _, tt := range []struct {
		args []string
		out  string // its beginning
	}{
		{[]string{"Bank.Example."}, "bank.example\n├─ record: v=DMARC1"},
		{[]string{"--json", "bank.example"}, `{"domain":"bank.example"`},
		{[]string{"--mail-text", "bank.example"}, "To: postmaster@bank.example\nSubject: "},
		{[]string{"--batch", domains}, "bank.example: policy reject, record at bank.example, bad_pct\n\n1 domains"},
		{[]string{"--json", "--batch", domains}, `{"domain":"bank.example"`},
	} {
		code, out, stderr := command(append([]string{"lookup", "-c", cfg}, tt.args...)...)
		if code != 1 || !strings.HasPrefix(out, tt.out) || !strings.HasPrefix(stderr, "dmarcgate: ") {
			t.Errorf("lookup %q = %d, %q, %q; want 1, %q and why", tt.args, code, out, stderr, tt.out)
		}
		if tt.args[0] == "--json" && !json.Valid([]byte(strings.SplitN(out, "\n", 2)[0])) {
			t.Errorf("lookup %q prints %q; want JSON", tt.args, out)
		}
	}
	if code, out, stderr := command("lookup", "-c", cfg, "--mail-text", "quiet.example"); code != 0 || out != "" || stderr != "dmarcgate: nothing to fix for the owner of quiet.example\n" {
		t.Errorf("lookup --mail-text = %d, %q, %q; want 0 and no message", code, out, stderr)
	}
}
