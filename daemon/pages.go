package daemon

import (
	"fmt"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/config"
	"dmarcgate/milter"
	"dmarcgate/pages"
	"dmarcgate/pages/view"
)

// openPages opens the listener of the status pages, unless they are off.
func (d *Daemon) openPages(cfg config.Pages) error {
	var ln net.Listener
	var err error
	switch cfg.Listen.Network {
	case "":
		return nil
	case "unix":
		ln, err = milter.Socket{Network: "unix", Addr: cfg.Listen.Addr, Mode: d.controlMode, UID: -1, GID: -1}.Listen()
	default:
		ln, err = net.Listen(cfg.Listen.Network, cfg.Listen.Addr)
	}
	if err != nil {
		return fmt.Errorf("status pages: %w", err)
	}
	src := pages.Source{Status: d.Status, Site: d.Inputs, Counts: func() []view.DNSCount { return dnsCounts(d.registry) }}
	if d.store != nil {
		src.Store = d.store
	}
	d.pages = &server{pages.NewServer(src), pages.Limit(ln)}
	return nil
}

// Pages returns the address of the status pages; nil when they are off.
func (d *Daemon) Pages() net.Addr {
	if d.pages == nil {
		return nil
	}
	return d.pages.socket.Addr()
}

// dnsCounts reads the counters of lookups and queries.
func dnsCounts(reg prometheus.Gatherer) (out []view.DNSCount) {
	families, err := reg.Gather()
	if err != nil {
		return nil // some other metric; /metrics says which
	}
	for _, f := range families {
		query := f.GetName() == "dmarcgate_dns_queries_total"
		if !query && f.GetName() != "dmarcgate_dns_cache_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			c := view.DNSCount{Query: query, N: int64(m.GetCounter().GetValue())}
			for _, l := range m.GetLabel() {
				switch l.GetName() {
				case "purpose":
					c.Purpose = l.GetValue()
				case "outcome", "result":
					c.Outcome = l.GetValue()
				}
			}
			out = append(out, c)
		}
	}
	return out
}
