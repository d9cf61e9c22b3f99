package sqlite

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

func TestPrivacyConcealsRecipientsAndQueueIDs(t *testing.T) {
	opt := options(t)
	opt.Privacy = results.Privacy{DropRecipients: true, QueueIDKey: []byte("secret")}
	s := open(t, opt)
	r := row("4XyZ1PlainID")
	s.MarkUnanswered(s.Add(r))
	s.Add(results.Row{}) // one without an id
	if len(r.Facts.Recipients) != 1 || r.Facts.QueueID != "4XyZ1PlainID" {
		t.Errorf("the caller's row = %+v; want it as it was", r)
	}
	hash := results.HashQueueID(opt.Privacy.QueueIDKey, "4XyZ1PlainID")
	rows, err := s.ByQueueID(context.Background(), hash)
	if err != nil || len(rows) != 1 || rows[0].Facts.Recipients != nil || rows[0].State != results.Unanswered {
		t.Errorf("ByQueueID(%s) = %+v, %v; want the row without recipients", hash, rows, err)
	}
	if got := qids(t, s.Reader); got != hash+" " {
		t.Errorf("ids = %q; want the hash, and none for a message without", got)
	}
	s.Close()
	absent(t, opt.Path, "4XyZ1PlainID", "receiver.example")
}

func TestAddTrimsRows(t *testing.T) {
	s := open(t, options(t))
	r := row("q")
	for i := range 900 {
		r.Facts.Recipients = append(r.Facts.Recipients, fmt.Sprint(i, ".example"))
	}
	s.Add(r)
	got := contents(t, s.Reader)
	if len(got) != 1 || strings.Join(got[0].Facts.Trimmed, " ") != blob.TrimmedRecipients {
		t.Errorf("%d rows, the first trimmed by %q; want one by %q", len(got), got[0].Facts.Trimmed, blob.TrimmedRecipients)
	}
}
