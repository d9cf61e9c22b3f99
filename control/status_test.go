package control

import (
	"strings"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/term"
)

func TestStatusShowsNameServersAndCache(t *testing.T) {
	now := time.Unix(1000, 0)
	s := admin.Status{Started: now, Reloaded: now, DNS: admin.DNSStatus{
		Servers: []admin.ServerStatus{
			{Address: "192.0.2.53:53", Trusted: true, Queries: 7, RTT: .0123},
			{Address: "192.0.2.54:53", Down: true, Since: now.Add(-time.Minute), Queries: 2, Err: "timeout\x1b"},
		},
		Entries: 3, Bytes: 4096, Lookups: 10, Cached: 9,
	}}
	var b strings.Builder
	if err := Tree(s, now).Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"name server 192.0.2.53:53, trusted: up, 7 queries, answers in 12.3 ms\n",
		"name server 192.0.2.54:53: DOWN for 1m0s, 2 queries\n", "last failure: timeout?\n",
		"DNS cache: 3 entries, about 4 KiB; 10 lookups, 90 % of them without a query\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("status prints\n%s\nwant %q in it", b.String(), want)
		}
	}
}

func TestStatusShowsSessionsAndMessages(t *testing.T) {
	for _, tt := range []struct {
		name    string
		traffic admin.Traffic
		want    []string
	}{
		{"none yet", admin.Traffic{Limit: 100}, []string{"sessions: 0 of 100 open, 0 since the start\n", "messages since the start: none\n"}},
		{"some", admin.Traffic{Sessions: 42, Active: 3, Limit: 100, InFlight: 2, Messages: map[string]uint64{"reject": 5, "accept": 900, "aborted": 1}},
			[]string{"sessions: 3 of 100 open, 42 since the start\n", "messages since the start: accept 900, reject 5, aborted 1; 2 in flight\n"}},
	} {
		var b strings.Builder
		s := admin.Status{Listeners: []admin.ListenerStatus{{Name: "mta", Profile: "strict", EnforceShare: 100, Traffic: tt.traffic}}}
		if err := Tree(s, time.Now()).Print(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: status prints\n%s\nwant %q in it", tt.name, b.String(), want)
			}
		}
	}
}

func TestStatusShowsLimitsOfTheStore(t *testing.T) {
	for _, tt := range []struct {
		status admin.ResultsStatus
		want   string
	}{
		{admin.ResultsStatus{}, "no limit of size, rows are kept for ever"},
		{admin.ResultsStatus{MaxBytes: 5 << 20, KeepDays: 30}, "at most 5.0 MiB, rows are deleted after 30 days"},
	} {
		var b strings.Builder
		if err := Tree(admin.Status{Results: &tt.status}, time.Now()).Print(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), tt.want+"\n") {
			t.Errorf("status prints\n%s\nwant %q in it", b.String(), tt.want)
		}
	}
}

func TestStatusShowsRefusingServer(t *testing.T) {
	root, now := &term.Node{}, time.Now()
	dnsNodes(root, admin.DNSStatus{Servers: []admin.ServerStatus{{Address: "192.0.2.53:53", Window: 75, InFlight: 3, GivenUp: 1, Plain: true, Refusing: now.Add(-time.Minute), Refusal: "refused\x1b"}}}, now)
	var text strings.Builder
	_ = root.Print(&text)
	if got := text.String(); !strings.Contains(got, "REFUSES queries for 1m0s") || !strings.Contains(got, "takes 75 at once (3 in flight, 1 given up)") || !strings.Contains(got, "does not preserve the case") || !strings.Contains(got, "dns-forward-max") || strings.Contains(got, "\x1b") {
		t.Errorf("status = %q; want the refusal with what to do, printable", got)
	}
}
