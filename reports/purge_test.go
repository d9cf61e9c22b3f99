package reports

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dmarcgate/config"
	"dmarcgate/internal/reporttest"
	"dmarcgate/report/queue"
	"dmarcgate/results"
)

func TestPurgeOfMeansWhatMayNameTheSame(t *testing.T) {
	client, at := netip.MustParsePrefix("192.0.2.0/24"), reporttest.Day.End
	for _, tt := range []struct {
		name string
		in   results.Purge
		want queue.Purge
	}{
		{"domain", results.Purge{Domain: "a.example"}, queue.Purge{Domain: "a.example", Documents: true}},
		{"domain until a time", results.Purge{Domain: "a.example", Before: at}, queue.Purge{Domain: "a.example", Before: at, Documents: true}},
		{"time", results.Purge{Before: at}, queue.Purge{Before: at}},
		{"client", results.Purge{Client: client}, queue.Purge{Documents: true}},
		{"client of a domain: only some rows of the domain", results.Purge{Client: client, Domain: "a.example"}, queue.Purge{Documents: true}},
	} {
		if got := purgeOf(tt.in); got != tt.want {
			t.Errorf("%s: purgeOf(%+v) = %+v; want %+v", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestPurgeDeletesReportsAboutADomain(t *testing.T) {
	cfg, all := queued(t)
	domain := all[0].PolicyDomain
	left := count(all, func(r queue.Report) bool { return r.PolicyDomain != domain })
	var warn bytes.Buffer
	if err := Purge(t.Context(), &warn, cfg, "", results.Purge{Domain: domain}, true); err != nil || warn.Len() > 0 {
		t.Errorf("Purge of PostgreSQL = %v, %q; want the file left alone", err, warn.String())
	}
	if err := Purge(t.Context(), &warn, cfg, "", results.Purge{Domain: domain}, false); err != nil || !strings.Contains(warn.String(), "deleted as well: aggregate reports about the domain") {
		t.Errorf("Purge = %v, %q", err, warn.String())
	}
	q, err := openToRead(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	found, err := q.Find(t.Context(), queue.Filter{Limit: 1000})
	if err != nil || len(found) != left {
		t.Errorf("%d reports are left, %v; want %d", len(found), err, left)
	}
}

func TestPurgeHasTheDaemonDoIt(t *testing.T) {
	cfg, _ := queued(t)
	d := &orders{}
	daemon(t, cfg, d)
	var warn bytes.Buffer
	at := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	want := queue.Order{Do: queue.Delete, Purge: queue.Purge{Before: at}}
	if err := Purge(t.Context(), &warn, cfg, "", results.Purge{Before: at}, false); err != nil || len(d.got) != 1 || d.got[0] != want {
		t.Errorf("Purge = %v, the daemon got %+v; want %+v", err, d.got, want)
	}
}

func TestPurgeWithoutQueueDoesNothing(t *testing.T) {
	cfg := config.Default()
	cfg.Store.Path = t.TempDir() + "/results.db"
	var warn bytes.Buffer
	if err := Purge(t.Context(), &warn, &cfg, "", results.Purge{Domain: "a.example"}, false); err != nil || warn.Len() > 0 {
		t.Errorf("Purge = %v, %q; want nothing", err, warn.String())
	}
}
