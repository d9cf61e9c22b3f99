package enforce

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/milter"
)

var nameDay = time.Date(2026, 11, 30, 15, 4, 5, 0, time.UTC)

func TestTakeAcceptsSixteenNamesPerListener(t *testing.T) {
	changes := 0
	n := NewNames(nil, nameDay)
	n.Changed = func() { changes++ }
	for i := range MaxNames {
		if !n.Take("mta", fmt.Sprintf("mx%d.site.example", i), nameDay) {
			t.Fatalf("name %d is not taken", i+1)
		}
	}
	if n.Take("mta", "one.more.example", nameDay) {
		t.Error("one more than MaxNames is taken")
	}
	if !n.Take("mta", "mx0.site.example", nameDay) || !n.Take("other", "one.more.example", nameDay) {
		t.Error("a name that is there, or one of another listener, is not taken")
	}
	if ids := n.IDs(); len(ids) != MaxNames+1 || !slices.Contains(ids, "one.more.example") {
		t.Errorf("IDs() = %q; want those of both listeners", ids)
	}
	if changes != MaxNames+1 {
		t.Errorf("Changed was called %d times; want once for each name", changes)
	}
	n.Take("mta", "mx0.site.example", nameDay.Add(12*time.Hour))
	if changes != MaxNames+2 || n.Last("mta") != "mx0.site.example" {
		t.Errorf("after a day: %d changes, Last = %q; want one more, and the name that was given", changes, n.Last("mta"))
	}
}

func TestNewNamesDropsOldAndInvalidNames(t *testing.T) {
	known := []MTAName{
		{"mta", "mx1.site.example", nameDay}, {"mta", "mx1.site.example", nameDay}, {"mta", "old.site.example", nameDay.Add(-NameAge - time.Second)},
		{"mta", "mx2.site.example", nameDay.Add(-NameAge)}, {"mta", "mx", nameDay}, {"mta", "MX3.site.example", nameDay}, {"mta", "a;b.example", nameDay}, {"mta", "", nameDay},
	}
	for i := range 2 * MaxNames {
		known = append(known, MTAName{"many", fmt.Sprintf("mx%d.many.example", i), nameDay})
	}
	n := NewNames(known, nameDay)
	if got := len(n.All()); got != 2+MaxNames {
		t.Errorf("All() has %d names: %v; want 2 of mta and %d of many", got, n.All(), MaxNames)
	}
	if ids := n.IDs(); !slices.Contains(ids, "mx1.site.example") || !slices.Contains(ids, "mx2.site.example") || slices.Contains(ids, "old.site.example") {
		t.Errorf("IDs() = %q", ids)
	}
}

func TestTakeFromManyConnectionsAtOnce(t *testing.T) {
	n := NewNames(nil, nameDay)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				n.Take("mta", fmt.Sprintf("mx%d.site.example", (i+j)%(2*MaxNames)), nameDay)
				n.IDs()
			}
		})
	}
	wg.Wait()
	if got := len(n.All()); got != MaxNames {
		t.Errorf("%d names are taken; want %d", got, MaxNames)
	}
}

func TestNamedChoosesTheNameOfAMessage(t *testing.T) {
	full := NewNames(nil, nameDay)
	for i := range MaxNames {
		full.Take("mta", fmt.Sprintf("mx%d.site.example", i), nameDay)
	}
	tests := []struct {
		name       string
		configured string
		local      bool
		trust      bool
		names      *Names
		given      string
		want, log  string
		removed    bool // what comes under the given name
	}{
		{"of the MTA", "", true, false, nil, "mx.site.example", "mx.site.example", "new MTA name", true},
		{"in capitals", "", true, false, nil, "MX.Site.Example", "mx.site.example", "new MTA name", true},
		{"configured", "site.example", true, false, nil, "mx.site.example", "site.example", "authserv_id=site.example", true},
		{"configured, without a name of the MTA", "site.example", true, false, nil, "", "site.example", "", false},
		{"over TCP", "", false, false, nil, "mx.site.example", "host.example", "trust_mta_name is not set", false},
		{"over TCP, trusted", "", false, true, nil, "mx.site.example", "mx.site.example", "new MTA name", true},
		{"over TCP, configured", "site.example", false, false, nil, "mx.other.example", "site.example", "", false},
		{"no name", "", true, false, nil, "", "host.example", "gives none", false},
		{"a short name", "", true, false, nil, "mx", "host.example", "not a full host name", false},
		{"hostile text", "", true, false, nil, "mx.example\r\nX: y", "host.example", "not a full host name", false},
		{"one too many", "", true, false, full, "seventeenth.example", "host.example", "as many names as it takes", false},
		{"one of sixteen", "", true, false, full, "mx3.site.example", "mx3.site.example", "new MTA name", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			g := &Gate{Listener: "mta", Local: tt.local, Names: tt.names, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return nameDay }}
			if g.Names == nil {
				g.Names = NewNames(nil, nameDay)
			}
			s := Settings{AuthservID: tt.configured, HostName: "host.example", TrustMTAName: tt.trust, AuthservIDs: []string{"host.example"}}
			for range 2 {
				got := g.named(s, &milter.Envelope{MTAName: tt.given})
				if got.AuthservID != tt.want || slices.Contains(got.AuthservIDs, strings.ToLower(tt.given)) != tt.removed {
					t.Errorf("named = %q, %q; want %q, and removed under the given name: %v", got.AuthservID, got.AuthservIDs, tt.want, tt.removed)
				}
			}
			if text := log.String(); strings.Count(text, "\n") != min(len(tt.log), 1) || !strings.Contains(text, tt.log) {
				t.Errorf("log = %q; want %q, once", text, tt.log)
			}
			if len(s.AuthservIDs) != 1 {
				t.Error("the settings of the snapshot were changed")
			}
		})
	}
}

// What an MTA gives is of any length; the log line is not.
func TestWarningOfALongNameIsShort(t *testing.T) {
	var log bytes.Buffer
	g := &Gate{Listener: "mta", Local: true, Names: &Names{}, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now}
	g.named(Settings{HostName: "host.example"}, &milter.Envelope{MTAName: strings.Repeat("x", 60_000)})
	if n := log.Len(); n == 0 || n > 1000 {
		t.Errorf("the log line has %d bytes; want at most 1000", n)
	}
}
