package blob

import (
	"net/netip"
	"testing"
	"time"

	"dmarcgate/policy"
	"dmarcgate/results"
)

func TestTrimMarksRow(t *testing.T) {
	old := func() time.Time { return today.AddDate(0, 0, 8) }
	week := results.Privacy{ShortenIPAfter: 7 * 24 * time.Hour}
	for _, tt := range []struct {
		name     string
		privacy  results.Privacy
		client   string
		hostname string
		rcpt     []string
		want     policy.MissingFacts
	}{
		{"nothing", results.Privacy{}, "192.0.2.0", "", []string{"a.example"}, 0},
		{"the recipients", results.Privacy{DropRecipients: true}, "192.0.2.1", "mx.example", []string{"a.example"}, policy.MissingRecipients},
		{"recipients that it had none of", results.Privacy{DropRecipients: true}, "192.0.2.1", "mx.example", nil, 0},
		{"address and name", week, "192.0.2.1", "mx.example", []string{"a.example"}, policy.MissingClient | policy.MissingClientName},
		{"an address without a name", week, "2001:db8:1:2::3", "", []string{"a.example"}, policy.MissingClient},
		{"an address that is its network's first", week, "192.0.2.0", "", nil, policy.MissingClient},
		{"a client without an address", week, "", "", nil, 0},
		{"all", results.Privacy{DropRecipients: true, ShortenIPAfter: time.Hour}, "192.0.2.1", "mx.example", []string{""},
			policy.MissingClient | policy.MissingClientName | policy.MissingRecipients},
	} {
		r := results.Row{Facts: policy.Facts{Time: today, Version: policy.FactsVersion, ClientName: tt.hostname, Recipients: tt.rcpt}}
		if tt.client != "" {
			r.Facts.Client = netip.MustParseAddr(tt.client)
		}
		tt.privacy.Conceal(&r, old)
		if got := there(t, r).Facts.Missing; got != tt.want {
			t.Errorf("%s was taken: Lacks = %b; want %b", tt.name, got, tt.want)
		}
		tt.privacy.Conceal(&r, old)
		if got := r.Facts.Missing; got != tt.want {
			t.Errorf("%s was taken, and once more: Lacks = %b; want %b", tt.name, got, tt.want)
		}
	}
}

func TestInferShortenedOfOlderRows(t *testing.T) {
	const both = policy.MissingClient | policy.MissingClientName
	for _, tt := range []struct {
		name    string
		version uint8
		client  string
		host    string
		want    policy.MissingFacts
	}{
		{"a whole address", 0, "192.0.2.1", "", 0},
		{"a network", 0, "192.0.2.0", "", both},
		{"a network of IPv6", 0, "2001:db8:1::", "", both},
		{"a mapped network", 0, "::ffff:192.0.2.0", "", both},
		{"a name, which shortening would have removed", 0, "192.0.2.0", "mx.example", 0},
		{"an address of this version", 1, "192.0.2.0", "", 0},
		{"none", 0, "", "", 0},
	} {
		r := results.Row{Facts: policy.Facts{Version: tt.version, ClientName: tt.host}}
		if tt.client != "" {
			r.Facts.Client = netip.MustParseAddr(tt.client)
		}
		if got := there(t, r).Facts.Missing; got != tt.want {
			t.Errorf("%s: Lacks = %b; want %b", tt.name, got, tt.want)
		}
	}
}
