package dbread

import (
	"dmarcgate/results/dbfile"
	"path/filepath"
	"strings"
	"testing"
)

func TestReaderQueriesUseIndex(t *testing.T) {
	db, err := Pool(filepath.Join(t.TempDir(), "r.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := dbfile.Migrate(t.Context(), db, 0); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		failingSQL: "COVERING INDEX message_failing", overriddenSQL: "COVERING INDEX message_overridden",
		nthFailingSQL: "COVERING INDEX message_failing", nthOverriddenSQL: "COVERING INDEX message_overridden",
		malformedSQL: "COVERING INDEX message_malformed", newSendersSQL: "INDEX sender_first", scanSQL: "INDEX message_time",
	} {
		args := []any{0, 1}
		if text == scanSQL {
			args = []any{0, 0, 1, 1}
		}
		rs, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rs.Close()
		found := false
		for rs.Next() {
			var id, parent, unused int
			var detail string
			if err := rs.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			found = found || strings.HasPrefix(detail, "SEARCH") && strings.Contains(detail, want)
			if strings.HasPrefix(detail, "SCAN") {
				t.Errorf("%s\nplan: %s; want no scan", text, detail)
			}
		}
		if !found {
			t.Errorf("%s\ndoes not search %s", text, want)
		}
	}
}
