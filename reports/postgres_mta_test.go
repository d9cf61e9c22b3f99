//go:build mta

package reports

import (
	"bytes"
	"strings"
	"testing"

	"dmarcgate/config"
	"dmarcgate/internal/pgtest"
	"dmarcgate/report/queue"
)

func TestQueueInPostgreSQLIsShownAndChanged(t *testing.T) {
	cfg := config.Default()
	cfg.Admin.Control = t.TempDir() + "/control.sock"
	cfg.Store.Postgres.URL = pgtest.Start(t).Database()
	q, err := openToWrite(t.Context(), t.Output(), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	all := fill(t, q)
	out := printed(t, func(out *bytes.Buffer) error { return List(t.Context(), out, &cfg, ListOptions{Why: "4xx", Limit: 10}) })
	if strings.Count(out, "\n") != 2 || !strings.Contains(out, all[0].ID) {
		t.Errorf("List() = %s; want the report whose mail was deferred", out)
	}
	out = printed(t, func(out *bytes.Buffer) error { return Show(t.Context(), out, out, &cfg, ShowOptions{ID: all[0].ID}) })
	if !strings.Contains(out, "report about "+all[0].PolicyDomain) {
		t.Errorf("Show() = %s; want the document", out)
	}
	var warn bytes.Buffer
	if err := Change(t.Context(), &bytes.Buffer{}, &warn, &cfg, ChangeOptions{Order: queue.Order{Do: queue.PauseSending, Why: "test"}}); err != nil {
		t.Fatal(err)
	}
	cfg.Reports.Send = true
	if out := printed(t, func(out *bytes.Buffer) error { return Status(t.Context(), out, &cfg, true) }); !strings.Contains(out, `: test"`) {
		t.Errorf("Status() = %s; want the pause", out)
	}
}
