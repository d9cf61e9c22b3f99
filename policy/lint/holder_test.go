package lint

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/policy/pattern"
)

func TestHoldersFileHasKindSourceAndDateInEachSection(t *testing.T) {
	sections := strings.Split(holdersFile, "\n[")[1:]
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
	for _, h := range knownHolders().nets {
		if h.net != h.net.Masked() || seen[h.net] {
			t.Errorf("%v has host bits or is there twice", h.net)
		}
		seen[h.net] = true
	}
}

func TestSharedNetworkKnowsWhatHoldersPublish(t *testing.T) {
	for network, want := range map[string]string{
		"209.85.220.0/24": "mailbox", "40.107.22.1/32": "mailbox", "167.89.100.0/24": "service that sends", "54.240.8.0/24": "service that sends",
		"205.139.110.9/32": "gateway", "2001:470:1f10::/48": "tunnel", "0.0.0.0/0": "a", "192.0.2.0/24": "", "2001:db8::/32": "",
	} {
		_, kind, ok := SharedNetwork(netip.MustParsePrefix(network))
		if ok != (want != "") || !strings.Contains(kind, want) {
			t.Errorf("SharedNetwork(%s) = %q, %t; want %q", network, kind, ok, want)
		}
	}
}

func TestSharedNameKnowsNamesOfRentedServers(t *testing.T) {
	for name, want := range map[string]bool{
		"ip-51-68-1.eu": true, "1.ip-51-68-1.eu": true, "ns1.ip-51-68-1.net": true, "static.1.2.3.4.clients.your-server.de": true,
		"p4fd8e8e8.dip0.t-ipconnect.de": true, "203-0-113-9.nip.io": true, "mail.good.example": false, "ip-x-y-z.eu": false, "microsoft.com": false,
	} {
		if _, _, ok := SharedName(name); ok != want {
			t.Errorf("SharedName(%s) = %t; want %t", name, ok, want)
		}
	}
}

func TestHoldersNamesAreDomainsAndWrittenOnce(t *testing.T) {
	if list := slices.Sorted(slices.Values(knownHolders().list)); len(slices.Compact(list)) != len(knownHolders().list) {
		t.Errorf("of %d names %d are different", len(knownHolders().list), len(slices.Compact(list)))
	}
	for name, h := range knownHolders().names {
		if p, err := pattern.ParseDomain(name); err != nil || p.Kind() != pattern.Exact || p.Name() != name || h.kind == nil || h.kind.words == "" {
			t.Errorf("%q of %+v is not a domain of a section", name, h.kind)
		}
	}
}
