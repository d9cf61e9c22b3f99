package daemon

import (
	"fmt"
	"net"

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
	src := pages.Source{Status: d.Status, Site: d.Inputs, Counts: d.dnsCounts}
	if d.store != nil {
		src.Store = d.store
	}
	if d.reporter != nil {
		src.Reports = d.reporter
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

// dnsCounts are the counters of lookups and queries.
func (d *Daemon) dnsCounts() (out []view.DNSCount) {
	for _, c := range d.metrics.DNSCounts() {
		out = append(out, view.DNSCount{Query: c.Query, Purpose: c.Purpose, Outcome: c.Outcome, N: int64(c.N)})
	}
	return out
}
