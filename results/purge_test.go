package results_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"dmarcgate/internal/resultstest"
	"dmarcgate/results"
)

func TestPurgeMatchesAllFields(t *testing.T) {
	full := resultstest.Filled()
	full.Facts.Client, full.Facts.Time = netip.MustParseAddr("192.0.2.77"), resultstest.Today
	for i, name := range []*string{&full.Facts.MailFrom, &full.Facts.Helo, &full.Facts.ClientName, &full.Facts.Recipients[0], &full.Facts.SPF.Domain,
		&full.Facts.HELO.Domain, &full.Facts.Authors[0].Domain, &full.Facts.Authors[0].Org, &full.Facts.Authors[0].PolicyDomain,
		&full.Facts.DKIM[0].Domain, &full.Facts.ARC.Sealers[0].Domain, &full.Facts.ARC.Sealers[0].Recorded[0].Domain, &full.Decision.Author} {
		*name = fmt.Sprintf("d%d.example", i)
	}
	for i := range 13 {
		if p := (results.Purge{Domain: fmt.Sprintf("d%d.example", i)}); !results.Matches(&full, p) {
			t.Errorf("Matches(%v) = false; want true", p)
		}
	}
	for _, tt := range []struct {
		p    results.Purge
		want bool
	}{
		{results.Purge{}, false},
		{results.Purge{Domain: "example"}, true},
		{results.Purge{Domain: "1.example"}, false},
		{results.Purge{Domain: "sub.d1.example"}, false},
		{results.Purge{Client: netip.MustParsePrefix("192.0.2.77/32")}, true},
		{results.Purge{Client: netip.MustParsePrefix("192.0.2.0/24")}, true},
		{results.Purge{Client: netip.MustParsePrefix("::ffff:192.0.2.0/120")}, true},
		{results.Purge{Client: netip.MustParsePrefix("192.0.2.78/32")}, false},
		{results.Purge{Client: netip.MustParsePrefix("2001:db8::/32")}, false},
		{results.Purge{Before: resultstest.Today}, false},
		{results.Purge{Before: resultstest.Today.Add(1)}, true},
		{results.Purge{Domain: "d1.example", Before: resultstest.Today}, false},
		{results.Purge{Domain: "d1.example", Client: netip.MustParsePrefix("192.0.2.0/24"), Before: resultstest.Today.Add(time.Hour)}, true},
	} {
		if got := results.Matches(&full, tt.p); got != tt.want {
			t.Errorf("Matches(%+v) = %v; want %v", tt.p, got, tt.want)
		}
	}
	full.Facts.Client = netip.MustParseAddr("192.0.2.0") // shortened
	if !results.Matches(&full, results.Purge{Client: netip.MustParsePrefix("192.0.2.78/32")}) {
		t.Error("Matches of a shortened address = false; want true, since it may have been the one")
	}
}
