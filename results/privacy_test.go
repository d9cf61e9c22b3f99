package results

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dmarcgate/policy"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func countIn(data []byte, what string) int { return bytes.Count(data, []byte(what)) }

func TestRecipientsAndQueueIDsAreConcealed(t *testing.T) {
	opt := options(t)
	opt.Privacy = Privacy{DropRecipients: true, QueueIDKey: []byte("secret")}
	s := open(t, opt)
	r := row("4XyZ1PlainID")
	s.MarkUnanswered(s.Add(r))
	s.Add(Row{}) // one without an id
	if len(r.Facts.Recipients) != 1 || r.Facts.QueueID != "4XyZ1PlainID" {
		t.Errorf("the caller's row = %+v; want it as it was", r)
	}
	hash := HashQueueID(opt.Privacy.QueueIDKey, "4XyZ1PlainID")
	rows, err := s.ByQueueID(context.Background(), hash)
	if err != nil || len(rows) != 1 || rows[0].Facts.Recipients != nil || rows[0].State != Unanswered {
		t.Errorf("ByQueueID(%s) = %+v, %v; want the row without recipients", hash, rows, err)
	}
	if got := qids(t, s.Reader); got != hash+" " {
		t.Errorf("ids = %q; want the hash, and none for a message without", got)
	}
	s.Close()
	absent(t, opt.Path, "4XyZ1PlainID", "receiver.example")
}

func TestARowSaysWhatWasTakenFromIt(t *testing.T) {
	old := func() time.Time { return today.AddDate(0, 0, 8) }
	week := Privacy{ShortenIPAfter: 7 * 24 * time.Hour}
	for _, tt := range []struct {
		name     string
		privacy  Privacy
		client   string
		hostname string
		rcpt     []string
		want     policy.Lack
	}{
		{"nothing", Privacy{}, "192.0.2.0", "", []string{"a.example"}, 0},
		{"the recipients", Privacy{DropRecipients: true}, "192.0.2.1", "mx.example", []string{"a.example"}, policy.LackRecipients},
		{"recipients that it had none of", Privacy{DropRecipients: true}, "192.0.2.1", "mx.example", nil, 0},
		{"address and name", week, "192.0.2.1", "mx.example", []string{"a.example"}, policy.LackClient | policy.LackClientName},
		{"an address without a name", week, "2001:db8:1:2::3", "", []string{"a.example"}, policy.LackClient},
		{"an address that is its network's first", week, "192.0.2.0", "", nil, policy.LackClient},
		{"a client without an address", week, "", "", nil, 0},
		{"all", Privacy{DropRecipients: true, ShortenIPAfter: time.Hour}, "192.0.2.1", "mx.example", []string{""},
			policy.LackClient | policy.LackClientName | policy.LackRecipients},
	} {
		r := Row{Facts: policy.Facts{Time: today, Version: policy.FactsVersion, ClientName: tt.hostname, Recipients: tt.rcpt}}
		if tt.client != "" {
			r.Facts.Client = addr(tt.client)
		}
		tt.privacy.conceal(&r, old)
		if got := there(t, r).Facts.Lacks; got != tt.want {
			t.Errorf("%s was taken: Lacks = %b; want %b", tt.name, got, tt.want)
		}
		tt.privacy.conceal(&r, old)
		if got := r.Facts.Lacks; got != tt.want {
			t.Errorf("%s was taken, and once more: Lacks = %b; want %b", tt.name, got, tt.want)
		}
	}
}

func TestRowsOfBeforeMayHaveBeenShortened(t *testing.T) {
	const both = policy.LackClient | policy.LackClientName
	for _, tt := range []struct {
		name    string
		version uint8
		client  string
		host    string
		want    policy.Lack
	}{
		{"a whole address", 0, "192.0.2.1", "", 0},
		{"a network", 0, "192.0.2.0", "", both},
		{"a network of IPv6", 0, "2001:db8:1::", "", both},
		{"a mapped network", 0, "::ffff:192.0.2.0", "", both},
		{"a name, which shortening would have removed", 0, "192.0.2.0", "mx.example", 0},
		{"an address of this version", 1, "192.0.2.0", "", 0},
		{"none", 0, "", "", 0},
	} {
		r := Row{Facts: policy.Facts{Version: tt.version, ClientName: tt.host}}
		if tt.client != "" {
			r.Facts.Client = addr(tt.client)
		}
		if got := there(t, r).Facts.Lacks; got != tt.want {
			t.Errorf("%s: Lacks = %b; want %b", tt.name, got, tt.want)
		}
	}
}

func TestHashesOfQueueIDsNeedTheKey(t *testing.T) {
	a, b := HashQueueID([]byte("a"), "q"), HashQueueID([]byte("b"), "q")
	if a == b || len(a) != len(b) || len(a) != 23 || !strings.HasPrefix(a, hashedID) || HashQueueID([]byte("a"), "r") == a {
		t.Errorf("hashes = %q, %q; want two of 23 characters", a, b)
	}
	if got := HashQueueID(nil, "q"); got != "q" {
		t.Errorf("HashQueueID without a key = %q; want the id", got)
	}
}

func TestAddressLiteralsAreShortened(t *testing.T) {
	for in, want := range map[string]string{
		"[192.0.2.77]": "[192.0.2.0]", "192.0.2.77": "192.0.2.0", "[IPv6:2001:db8:1:2::3]": "[IPv6:2001:db8:1::]", "[ipv6:fe80::1%eth0]": "[ipv6:fe80::]",
		"mx.example": "mx.example", "": "", "[x]": "[x]", "IPv6:": "IPv6:", "[192.0.2.77": "[192.0.2.0]",
	} {
		if got := shortLiteral(in); got != want {
			t.Errorf("shortLiteral(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestAPurgeMeansWhatAllItsFieldsMean(t *testing.T) {
	full := filled()
	full.Facts.Client, full.Facts.Time = addr("192.0.2.77"), today
	for i, name := range []*string{&full.Facts.MailFrom, &full.Facts.Helo, &full.Facts.ClientName, &full.Facts.Recipients[0], &full.Facts.SPF.Domain,
		&full.Facts.HELO.Domain, &full.Facts.Authors[0].Domain, &full.Facts.Authors[0].Org, &full.Facts.Authors[0].PolicyDomain,
		&full.Facts.DKIM[0].Domain, &full.Facts.ARC.Sealers[0].Domain, &full.Facts.ARC.Sealers[0].Recorded[0].Domain, &full.Decision.Author} {
		*name = fmt.Sprintf("d%d.example", i)
	}
	for i := range 13 {
		if p := (Purge{Domain: fmt.Sprintf("d%d.example", i)}); !Matches(&full, p) {
			t.Errorf("Matches(%v) = false; want true", p)
		}
	}
	for _, tt := range []struct {
		p    Purge
		want bool
	}{
		{Purge{}, false},
		{Purge{Domain: "example"}, true},
		{Purge{Domain: "1.example"}, false},
		{Purge{Domain: "sub.d1.example"}, false},
		{Purge{Client: netip.MustParsePrefix("192.0.2.77/32")}, true},
		{Purge{Client: netip.MustParsePrefix("192.0.2.0/24")}, true},
		{Purge{Client: netip.MustParsePrefix("::ffff:192.0.2.0/120")}, true},
		{Purge{Client: netip.MustParsePrefix("192.0.2.78/32")}, false},
		{Purge{Client: netip.MustParsePrefix("2001:db8::/32")}, false},
		{Purge{Before: today}, false},
		{Purge{Before: today.Add(1)}, true},
		{Purge{Domain: "d1.example", Before: today}, false},
		{Purge{Domain: "d1.example", Client: netip.MustParsePrefix("192.0.2.0/24"), Before: today.Add(time.Hour)}, true},
	} {
		if got := Matches(&full, tt.p); got != tt.want {
			t.Errorf("Matches(%+v) = %v; want %v", tt.p, got, tt.want)
		}
	}
	full.Facts.Client = addr("192.0.2.0") // shortened
	if !Matches(&full, Purge{Client: netip.MustParsePrefix("192.0.2.78/32")}) {
		t.Error("Matches of a shortened address = false; want true, since it may have been the one")
	}
}
