package holder

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/policy/pattern"
)

func TestHoldersFileHasKindSourceAndDateInEachSection(t *testing.T) {
	sections := strings.Split(file, "\n[")[1:]
	if len(sections) < 20 {
		t.Fatalf("%d sections; want at least 20", len(sections))
	}
	for _, s := range sections {
		lines := strings.SplitN(strings.TrimSpace(s), "\n", 4)
		if len(lines) < 4 || !strings.HasPrefix(lines[1], "source: ") || !strings.HasPrefix(lines[2], "date: ") {
			t.Errorf("section %q; want a source, a date and items", lines)
			continue
		}
		if _, err := time.Parse(time.DateOnly, strings.TrimPrefix(lines[2], "date: ")); err != nil {
			t.Errorf("section [%s: %v", lines[0], err)
		}
	}
}

func TestHoldersNetworksAreWrittenInFullAndOnce(t *testing.T) {
	seen := map[netip.Prefix]bool{}
	for _, h := range Networks() {
		if h.Network != h.Network.Masked() || seen[h.Network] {
			t.Errorf("%v has host bits or is there twice", h.Network)
		}
		seen[h.Network] = true
	}
}

func TestAtKnowsWhatHoldersPublish(t *testing.T) {
	for network, want := range map[string]string{
		"209.85.220.0/24": "mailbox", "40.107.22.1/32": "mailbox", "167.89.100.0/24": "service that sends", "54.240.8.0/24": "service that sends",
		"205.139.110.9/32": "gateway", "2001:470:1f10::/48": "tunnel", "0.0.0.0/0": "a", "192.0.2.0/24": "", "2001:db8::/32": "",
	} {
		h, ok := At(netip.MustParsePrefix(network))
		if ok != (want != "") || !strings.Contains(h.Words, want) {
			t.Errorf("At(%s) = %+v, %t; want %q", network, h, ok, want)
		}
	}
}

func TestSenderKnowsNamesOfRentedServers(t *testing.T) {
	for name, want := range map[string]bool{
		"ip-51-68-1.eu": true, "1.ip-51-68-1.eu": true, "ns1.ip-51-68-1.net": true, "static.1.2.3.4.clients.your-server.de": true,
		"p4fd8e8e8.dip0.t-ipconnect.de": true, "203-0-113-9.nip.io": true, "mail.good.example": false, "ip-x-y-z.eu": false, "microsoft.com": false,
	} {
		if _, ok := Sender(name); ok != want {
			t.Errorf("Sender(%s) = %t; want %t", name, ok, want)
		}
	}
}

func TestHoldersNamesAreDomainsAndWrittenOnce(t *testing.T) {
	if list := slices.Sorted(slices.Values(known().list)); len(slices.Compact(list)) != len(known().list) {
		t.Errorf("of %d names %d are different", len(known().list), len(slices.Compact(list)))
	}
	for name, h := range known().names {
		if p, err := pattern.ParseDomain(name); err != nil || p.Kind() != pattern.Exact || p.Name() != name || h.Words == "" {
			t.Errorf("%q of %+v is not a domain of a section", name, h)
		}
	}
}
