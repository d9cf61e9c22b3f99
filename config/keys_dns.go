package config

import (
	"fmt"
	"slices"

	"dmarcgate/config/tomlfile"
)

// The keys of the resolver and of its cache: place, default and range.

// DNS is how names are looked up and remembered.
type DNS struct {
	Servers        []string          // "ip:port"; empty means those of /etc/resolv.conf
	Trusted        []string          // those of Servers whose AD bit is believed
	QueryTimeout   tomlfile.Duration // one exchange with one server
	Timeout        tomlfile.Duration // one lookup with all its attempts
	CacheSize      tomlfile.Size
	MinTTL         tomlfile.Duration // 0 is no floor
	MaxTTL         tomlfile.Duration
	MaxNegativeTTL tomlfile.Duration
	FailureTTL     tomlfile.Duration
	StaleTTL       tomlfile.Duration // past the TTL; 0 is not at all
	StaleNegTTL    tomlfile.Duration // the same for "there is none"
	StaleAfter     tomlfile.Duration // what a message waits for news where there is a stale answer
	MaxInFlight    int               // queries to servers at once
}

func dnsDefaults(c *Config) {
	c.DNS = DNS{
		QueryTimeout:   2 * second,
		Timeout:        5 * second,
		CacheSize:      64 * tomlfile.MiB,
		MaxTTL:         24 * hour,
		MaxNegativeTTL: 15 * minute,
		FailureTTL:     5 * second,
		StaleTTL:       24 * hour,
		StaleNegTTL:    hour,
		StaleAfter:     second * 18 / 10,
		MaxInFlight:    1000,
	}
}

// dnsFields are keys of the resolver and of its cache.
func dnsFields(c *Config) []tomlfile.Field {
	return []tomlfile.Field{
		tomlfile.List("dns.servers", &c.DNS.Servers, parseServer),
		tomlfile.List("dns.trusted", &c.DNS.Trusted, parseServer),
		tomlfile.DurationBetween("dns.query_timeout", &c.DNS.QueryTimeout, second/10, 30*second),
		tomlfile.DurationBetween("dns.timeout", &c.DNS.Timeout, second/10, minute),
		tomlfile.SizeBetween("dns.cache_size", &c.DNS.CacheSize, tomlfile.MiB, 64*tomlfile.GiB),
		tomlfile.DurationBetween("dns.min_ttl", &c.DNS.MinTTL, 0, 5*minute),
		tomlfile.DurationBetween("dns.max_ttl", &c.DNS.MaxTTL, minute, 7*day), // RFC 8767, Section 4: a cap on the order of days
		// One to three hours are sensible, more than a day is a problem (RFC 2308, Section 5).
		tomlfile.DurationBetween("dns.max_negative_ttl", &c.DNS.MaxNegativeTTL, second, 3*hour),
		tomlfile.DurationBetween("dns.failure_ttl", &c.DNS.FailureTTL, second, 5*minute), // RFC 9520, Section 3.2
		tomlfile.DurationBetween("dns.stale_ttl", &c.DNS.StaleTTL, 0, 7*day),             // RFC 8767, Section 5: one to three days
		tomlfile.DurationBetween("dns.stale_negative_ttl", &c.DNS.StaleNegTTL, 0, day),
		tomlfile.DurationBetween("dns.stale_after", &c.DNS.StaleAfter, second/10, 30*second), // RFC 8767, Section 5: 1.8 s
		tomlfile.NumberBetween("dns.max_in_flight", &c.DNS.MaxInFlight, 1, 100_000),
	}
}

// dnsEffects has the keys above that shape no facts: see effect.
var dnsEffects = map[string]effect{
	"dns.trusted": neutral, // shown, and nothing more
}

// checkDNS checks what concerns several keys of [dns].
func checkDNS(d DNS) []tomlfile.Fault {
	faults := checkTrusted(d)
	// Its default does no harm: a lookup that ends sooner fails sooner, and the
	// stale answer is there at once.
	if d.StaleAfter >= d.Timeout && d.StaleAfter != Default().DNS.StaleAfter {
		faults = append(faults, tomlfile.Fault{
			At:   "dns.stale_after",
			Text: fmt.Sprintf("%v is not below dns.timeout, %v", d.StaleAfter, d.Timeout),
			Fix:  "set a longer dns.timeout: a failed lookup waits for nothing",
		})
	}
	if d.MinTTL > d.MaxTTL {
		faults = append(faults, tomlfile.Fault{
			At:   "dns.min_ttl",
			Text: fmt.Sprintf("%v is longer than dns.max_ttl, %v", d.MinTTL, d.MaxTTL),
			Fix:  "raise dns.max_ttl",
		})
	}
	return faults
}

// checkTrusted checks that trust is in servers that are asked.
func checkTrusted(d DNS) []tomlfile.Fault {
	var faults []tomlfile.Fault
	for i, s := range d.Trusted {
		if slices.Contains(d.Servers, s) {
			continue
		}
		f := tomlfile.Fault{At: tomlfile.Element("dns.trusted", i), Text: fmt.Sprintf("%q is not one of dns.servers", s), Fix: "add the server to dns.servers"}
		if len(d.Servers) == 0 {
			f.Fix = `add the server to dns.servers; servers of /etc/resolv.conf are trusted by "options trust-ad" in that file`
		}
		faults = append(faults, f)
	}
	return faults
}
