package site

import (
	"fmt"
	"time"

	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/metrics"
)

// ResolvConf is where the name servers are when the configuration names none.
const ResolvConf = "/etc/resolv.conf"

// never is a time of staying stale that is not at all.
const never = -1

// NewResolver makes the resolver of a configuration, which asks nothing before it
// is used. m may be nil. The caller closes it.
func NewResolver(cfg *config.Config, m *metrics.Metrics) (*dnscache.Resolver, error) {
	list, err := ServerList(cfg.DNS, ResolvConf)
	if err != nil {
		return nil, err
	}
	d := cfg.DNS
	return dnscache.New(dnscache.Config{
		Servers: list.Servers, Trusted: list.Trusted, QueryTimeout: d.QueryTimeout.Std(), Timeout: d.Timeout.Std(),
		MaxBytes: uint64(d.CacheSize), MinTTL: d.MinTTL.Std(), MaxTTL: d.MaxTTL.Std(), MaxNegativeTTL: d.MaxNegativeTTL.Std(),
		FailureTTL: d.FailureTTL.Std(), StaleTTL: orNever(d.StaleTTL), StaleNegTTL: orNever(d.StaleNegTTL), StaleAfter: d.StaleAfter.Std(),
		MaxInFlight: d.MaxInFlight,
	}, m)
}

// orNever is for dnscache, which takes zero for its default.
func orNever(d config.Duration) time.Duration {
	if d == 0 {
		return never
	}
	return d.Std()
}

// ServerList returns the name servers of the configuration, or those of the file at
// path when it names none.
func ServerList(cfg config.DNS, path string) (dnscache.ServerList, error) {
	if len(cfg.Servers) > 0 {
		return dnscache.ServerList{Servers: cfg.Servers, Trusted: cfg.Trusted}, nil
	}
	list, err := dnscache.ReadResolvConf(path)
	if err != nil {
		return dnscache.ServerList{}, fmt.Errorf("finding a DNS server: %w; set servers in [dns]", err)
	}
	return list, nil
}

// Traced returns the views of a resolver that tell f of each lookup.
func Traced(dns *dnscache.Resolver, f func(dnscache.Lookup)) func(dnscache.Purpose) dnscache.View {
	return func(p dnscache.Purpose) dnscache.View { return dns.View(p).Traced(f) }
}
