package sending

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/report/queue"
)

// silent is a site beside whose store there is that of a host which says nothing any more.
type silent struct{ *site }

func (s silent) Sources(ctx context.Context) ([]queue.Source, error) {
	list, err := s.site.Sources(ctx)
	return append(list, queue.Source{ID: "other", Host: "mx2", Watermark: day(2, 5), Seen: day(2, 5)}), err
}

// A day waits six hours for a host that is silent. Then it is closed without its rows, the
// host is named, and what comes later is counted.
func TestSilentHost(t *testing.T) {
	s := ready(t, "bank.example")
	var log bytes.Buffer
	h := s.host("a")
	h.Rows = silent{s}
	h.Log = slog.New(slog.NewTextHandler(&log, nil))
	runs := func() []queue.Run {
		q, err := s.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		list, err := q.Runs(t.Context(), day(2, 0), day(2, 0))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	s.until(h, day(3, 0).Add(queue.Grace), 10*time.Minute)
	if got := runs(); len(got) != 0 || len(s.mails) != 0 {
		t.Fatalf("within the grace, runs are %+v, and %d mails left; want none", got, len(s.mails))
	}
	s.until(h, day(3, 12), time.Hour)
	if got := runs(); len(got) != 1 || !slices.Equal(got[0].WaitedFor, []string{"mx2"}) || len(s.mails) != 1 {
		t.Errorf("after the grace, runs are %+v, and %d mails left; want the day closed without mx2, and one mail", got, len(s.mails))
	}
	if !strings.Contains(log.String(), "hosts=[mx2]") {
		t.Errorf("the log does not name the silent host:\n%s", &log)
	}
	if got := s.counts.queue.Silent; !slices.Equal(got, []string{"mx2"}) {
		t.Errorf("the metrics name the silent hosts %q; want mx2", got)
	}
	for range 3 {
		s.receives(day(2, 20), "bank.example")
	}
	s.until(h, day(3, 18), time.Hour)
	if got := runs(); got[0].Late != 3 || s.counts.rows["late"] != 3 || s.counts.rows["reported"] != 1 || len(s.mails) != 1 {
		t.Errorf("%d late rows, counted %v, %d mails; want 3 late, and none of them reported", got[0].Late, s.counts.rows, len(s.mails))
	}
	h.Rows = s // the host is heard of again
	s.until(h, day(4, 2), time.Hour)
	if got := s.counts.queue; len(got.Silent) != 0 || !got.LastClosed.Equal(day(3, 0)) {
		t.Errorf("after a day with all hosts, the metrics have %+v; want no silent host", got)
	}
}
