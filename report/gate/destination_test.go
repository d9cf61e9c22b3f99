package gate

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/dnscache"
	"dmarcgate/internal/dnstest"
	"dmarcgate/report/consent"
)

// found returns the destinations of a domain in a zone, each as a line.
func found(t *testing.T, zone, domain string) []string {
	t.Helper()
	dns, err := dnscache.New(dnscache.Config{Servers: []string{dnstest.New(t, zone).Addr()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	c := consent.Checker{DNS: dns, Method: dmarc.TreeWalk}
	d, _ := c.Find(t.Context(), dmarc.TreeWalk, domain)
	if d.Err != nil {
		t.Fatal(d.Err)
	}
	asked, _ := c.Check(t.Context(), d)
	lines := []string{}
	for _, to := range Destinations(asked) {
		why, addr := string(to.Why), to.Address
		if to.Why == Open {
			why = "open"
		}
		if addr == "" {
			addr = "-"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", why, addr, to.Consent))
		if to.Key != strings.ToLower(to.Address) || to.Host != hostOf(to.Address) || to.Counted != CountedAs(to.Host) {
			t.Errorf("%q: key %q, host %q counted as %q; want those of %q", to.URI, to.Key, to.Host, to.Counted, to.Address)
		}
	}
	return lines
}

// Each file of testdata/consent is a zone with the destinations that its domain
// has, the first 14 those of the acceptance test.
func TestConsent(t *testing.T) {
	files, err := filepath.Glob("testdata/consent/*.txt")
	if err != nil || len(files) < 14 {
		t.Fatalf("files %q, %v; want the cases", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			parts := sections(t, file)
			for _, step := range []string{"", "later "} {
				zone, ok := parts[step+"zone"]
				if !ok {
					continue
				}
				want := strings.FieldsFunc(parts[step+"want"], func(r rune) bool { return r == '\n' })
				got := found(t, zone, strings.TrimSpace(parts["domain"]))
				if !slices.Equal(got, want) {
					t.Errorf("%sdestinations = %q; want %q", step, got, want)
				}
			}
		})
	}
}

// sections reads a file of "-- name --" lines with what follows each.
func sections(t *testing.T, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts, name := map[string]string{}, "what"
	for line := range strings.Lines(string(data)) {
		if mark, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(mark, " --\n")
			parts[name] = ""
			continue
		}
		parts[name] += line
	}
	return parts
}

// granted is a destination that its host takes reports at.
func granted(uri, host string) consent.Destination {
	return consent.Destination{Tag: "rua", URI: uri, Host: host, Consent: consent.Granted}
}

func TestDestinationsAreLimited(t *testing.T) {
	d := granted("mailto:rua@reports.example", "reports.example")
	for i := range 5000 {
		d.Instead = append(d.Instead, fmt.Sprintf("mailto:rua%d@reports.example", i))
	}
	list := Destinations([]consent.Destination{d, granted("mailto:x@b.example", "b.example")})
	open, beyond := 0, 0
	for _, to := range list {
		switch to.Why {
		case Open:
			open++
		case TooManyTargets:
			beyond++
		}
	}
	if open != MaxDestinations || open+beyond != maxTargets {
		t.Errorf("of 5,001 mailboxes %d are open and %d beyond the limit; want %d open, %d in all", open, beyond, MaxDestinations, maxTargets)
	}
	d.Instead = d.Instead[:MaxDestinations]
	if list := Destinations([]consent.Destination{d}); len(list) != MaxDestinations || list[MaxDestinations-1].Why != Open {
		t.Errorf("of %d mailboxes not all are open: %+v", MaxDestinations, list)
	}
}

func TestDestinationsTakeNoTagButRUA(t *testing.T) {
	d := granted("mailto:ruf@reports.example", "reports.example")
	d.Tag = "ruf"
	if got := Destinations([]consent.Destination{d}); got != nil {
		t.Errorf("Destinations of ruf = %+v; want none", got)
	}
}

func TestDestinationsNeedTheHostThatWasAsked(t *testing.T) {
	got := Destinations([]consent.Destination{granted("mailto:victim@other.example", "reports.example")})
	if len(got) != 1 || got[0].Why != Unauthorized {
		t.Errorf("Destinations = %+v; want one that is unauthorized: another host has consented", got)
	}
}

func TestCountedAsIsTheOrganization(t *testing.T) {
	for host, want := range map[string]string{
		"reports.bank.example": "bank.example", "bank.example": "bank.example", "a.b.c.bank.co.uk": "bank.co.uk", "co.uk": "co.uk", "example": "example", "": "",
	} {
		if got := CountedAs(host); got != want {
			t.Errorf("CountedAs(%q) = %q; want %q", host, got, want)
		}
	}
}

func TestCanonicalAddresses(t *testing.T) {
	long := strings.Repeat("a", 64)
	tests := []struct{ in, want string }{
		{"rua@bank.example", "rua@bank.example"},
		{"A+b.c=d@bank.example", "A+b.c=d@bank.example"},
		{"rua@BANK.example.", "rua@bank.example"},
		{long + "@bank.example", long + "@bank.example"},
		{long + "a@bank.example", ""},
		{`"` + long + `"@bank.example`, long + "@bank.example"},
		{`"a b"@bank.example`, ""},
		{`a b@bank.example`, ""},
		{`a,b@bank.example`, ""},
		{`"rua"@bank.example`, "rua@bank.example"},
		{`"a\\b"@bank.example`, ""},
		{`a\b@bank.example`, ""},
		{`"a"b"@bank.example`, ""},
		{`"a\"@bank.example`, ""},
		{`"@bank.example`, ""},
		{`.a@bank.example`, ""},
		{`a..b@bank.example`, ""},
		{`""@bank.example`, ""},
		{`a%b@bank.example`, ""},
		{`b!a@bank.example`, ""},
		{`a@b@bank.example`, ""},
		{"@bank.example", ""},
		{"rua@", ""},
		{"rua", ""},
		{"", ""},
		{"rua@[192.0.2.1]", ""},
		{"rua@192.0.2.1", ""},
		{"rua@localhost", ""},
		{"r\x00a@bank.example", ""},
		{"r\na@bank.example", ""},
		{"r\u00fca@bank.example", ""},
		{"rua@bank.example\r\nX: y", ""},
		{"rua@bank example", ""},
		{"rua@b\u00fccher.example", "rua@xn--bcher-kva.example"},
		{"rua@" + strings.Repeat(strings.Repeat("a", 62)+".", 3) + strings.Repeat("a", 61), "rua@" + strings.Repeat(strings.Repeat("a", 62)+".", 3) + strings.Repeat("a", 61)},
		{"rua12@" + strings.Repeat(strings.Repeat("a", 62)+".", 3) + strings.Repeat("a", 61), ""},
	}
	for _, tt := range tests {
		got, host := canonical(tt.in)
		if got != tt.want || (host == "") != (tt.want == "") {
			t.Errorf("canonical(%q) = %q, %q; want %q", tt.in, got, host, tt.want)
		}
	}
}

// Whatever a record of consent and its host publish, an address that mail may go
// to is one mailbox at the host that was asked, in one printable line.
func FuzzDestinations(f *testing.F) {
	for _, uri := range []string{"mailto:rua@bank.example", "mailto:a%2Cb@bank.example!10m", "mailto:%22a%5C%22b%22@bank.example", "mailto:a%0d%0aDATA@bank.example",
		"mailto:a@b@bank.example", "mailto:a%25b@bank.example", "https://bank.example/", "mailto:", "mailto:@", "MAILTO:A@BANK.EXAMPLE?subject=%0a"} {
		f.Add(uri, uri+","+uri)
	}
	f.Fuzz(func(t *testing.T, uri, instead string) {
		d := granted(uri, "bank.example")
		if instead != "" {
			d.Instead = strings.Split(instead, ",")
		}
		seen := map[string]bool{}
		for _, to := range Destinations([]consent.Destination{d, granted(uri, "bank.example")}) {
			if to.Why != Open {
				continue
			}
			if seen[to.Key] || to.Host != "bank.example" || to.Key != strings.ToLower(to.Address) {
				t.Fatalf("%q and %q: %+v; want a mailbox once, at the host", uri, instead, to)
			}
			seen[to.Key] = true
			local, at := strings.CutSuffix(to.Address, "@bank.example")
			again, _ := canonical(to.Address)
			if !at || again != to.Address || len(to.Address) > maxAddress || strings.ContainsAny(local, " @%!,;:<>()[]\\\"") || strings.ContainsFunc(local, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("address %q of %q and %q", to.Address, uri, instead)
			}
		}
		if len(seen) > MaxDestinations {
			t.Fatalf("%d destinations", len(seen))
		}
		if _, err := url.PathUnescape(uri); err != nil && len(d.Instead) == 0 && len(seen) > 0 {
			t.Fatalf("%q cannot be unescaped and has destinations", uri)
		}
	})
}
