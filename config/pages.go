package config

import (
	"net/netip"

	"dmarcgate/config/tomlfile"
)

// Pages is the listener of the status pages.
type Pages struct {
	Listen Address // a Unix socket or TCP on loopback; the zero value is off
}

// parsePages reads where the status pages are served. Empty is off. The pages have
// no password and show names from mail, so an address that other hosts reach is
// refused.
func parsePages(s string) (Address, error) {
	const forms = `write "unix:/run/dmarcgate/pages.sock", "tcp:127.0.0.1:9436", or "" for none`
	if s == "" {
		return Address{}, nil
	}
	a, err := parseAddress(s)
	switch {
	case err != nil:
		return Address{}, tomlfile.Faultf(forms, "%q is not an address", s)
	case a.Network == "tcp":
		ap, err := netip.ParseAddrPort(a.Addr)
		if err != nil || !ap.Addr().IsLoopback() {
			return Address{}, tomlfile.Faultf(forms, "%q is not an address of loopback, and the pages have no password", s)
		}
	case a.Network != "unix":
		return Address{}, tomlfile.Faultf(forms, "%q is neither a Unix socket nor TCP", s)
	}
	return a, nil
}
