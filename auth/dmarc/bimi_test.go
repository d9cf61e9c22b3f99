package dmarc

import "testing"

func TestEligibleForBIMI(t *testing.T) {
	for _, tt := range []struct {
		name   string
		dns    *fakeDNS
		author string
		passed bool
		want   bool
	}{
		{"p=reject", zone("example.com p=reject"), "example.com", true, true},
		{"p=quarantine", zone("example.com p=quarantine"), "example.com", true, true},
		{"p=quarantine with sp=reject", zone("example.com p=quarantine; sp=reject"), "example.com", true, true},
		{"pct=100", zone("example.com p=quarantine; pct=100"), "example.com", true, true},
		{"no pass", zone("example.com p=reject"), "example.com", false, false},
		{"no record", zone(), "example.com", true, false},
		{"p=none", zone("example.com p=none"), "example.com", true, false},
		{"sp=none", zone("example.com p=reject; sp=none"), "example.com", true, false},
		{"sp=none beside p=none", zone("example.com p=none; sp=reject"), "example.com", true, false},
		{"pct=99", zone("example.com p=reject; pct=99"), "example.com", true, false},
		{"pct=0", zone("example.com p=quarantine; pct=0"), "example.com", true, false},
		{"t=y", zone("example.com p=reject; t=y"), "example.com", true, false},
		{"p that cannot be read", zone("example.com p=x; rua=mailto:a@example.com"), "example.com", true, false},
		{"sp that cannot be read", zone("example.com p=reject; sp=x; rua=mailto:a@example.com"), "example.com", true, false},
		{"a subdomain under p", zone("example.com p=reject"), "news.example.com", true, true},
		{"a subdomain under sp=quarantine", zone("example.com p=reject; sp=quarantine"), "news.example.com", true, true},
		{"a subdomain under sp=none", zone("example.com p=reject; sp=none"), "news.example.com", true, false},
		{"a subdomain under p=none with sp=reject", zone("example.com p=none; sp=reject"), "news.example.com", true, false},
		{"a subdomain with a record of its own", zone("news.example.com p=reject", "example.com p=quarantine"), "news.example.com", true, true},
		{"one below an organization with p=none", zone("news.example.com p=reject", "example.com p=none"), "news.example.com", true, false},
		{"one below an organization with pct=50", zone("news.example.com p=reject", "example.com p=reject; pct=50"), "news.example.com", true, false},
		{"one that is an organization", zone("news.example.com p=reject; psd=n", "example.com p=none"), "news.example.com", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, d := find(t, tt.dns, TreeWalk, tt.author)
			v := Evaluate(d, []Identifier{dkim(tt.author, tt.passed)})
			if got := EligibleForBIMI(d, v); got != tt.want {
				t.Errorf("EligibleForBIMI() = %v; want %v for %+v", got, tt.want, v)
			}
		})
	}
}
