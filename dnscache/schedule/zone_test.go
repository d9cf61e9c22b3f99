package schedule

import (
	"testing"

	"dmarcgate/dnscache/wire"
)

func TestZoneOfIsTheOrganizationalDomain(t *testing.T) {
	for name, want := range map[string]string{
		"example.com":                    "example.com",
		"_dmarc.example.com":             "example.com",
		"s1._domainkey.mail.example.com": "example.com",
		"s1._domainkey.example.co.uk":    "example.co.uk",
		"com":                            "com",
		"co.uk":                          "co.uk",
		"a.b.c.test":                     "c.test",
		"x.y.duckdns.org":                "duckdns.org", // private domains are one zone
		"x.github.io":                    "github.io",
		"a.b.s3.dualstack.eu-west-1.amazonaws.com": "amazonaws.com",
		"1.2.0.192.in-addr.arpa":                   "2.0.192.in-addr.arpa",
		"2.0.192.in-addr.arpa":                     "2.0.192.in-addr.arpa",
		"192.in-addr.arpa":                         "192.in-addr.arpa",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": "3.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
		"\x00.\xff.example.com": "example.com",
		"x":                     "x",
	} {
		if got := zoneOf(name); got != want {
			t.Errorf("zoneOf(%q) = %q; want %q", name, got, want)
		}
	}
}

func FuzzZoneOf(f *testing.F) {
	f.Add("a.example.co.uk")
	f.Add("x.y.duckdns.org")
	f.Fuzz(func(t *testing.T, text string) {
		name, ok := wire.Clean(text)
		if !ok {
			return
		}
		zone := zoneOf(name)
		if _, ok := below(name, zone, 1); zone == "" || len(zone) > len(name) || !ok {
			t.Errorf("zoneOf(%q) = %q; want the end of the name", name, zone)
		}
		if again := zoneOf("x." + zone); len(zone) < 253-2 && again != zone && zoneOf(zone) != zone {
			t.Errorf("zoneOf of the zone %q = %q; want itself", zone, zoneOf(zone))
		}
	})
}
