//go:build mta

package pg

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"dmarcgate/internal/pgtest"
	"dmarcgate/results"
)

func TestScanUptoLeavesOutLaterRows(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	at := time.Now().UTC().Add(-time.Minute)
	var ids []string
	for _, name := range []string{"a", "b"} {
		l := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
		ids = append(ids, l.ID())
		for i := range 5 {
			l.Add(message(fmt.Sprint(name, i), at.Add(time.Duration(i)*time.Second)))
		}
		finish(t, ship(t, l, url, name))
	}
	r, err := OpenReader(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, test := range []struct {
		upto       map[string]int64
		want, late int
	}{
		{map[string]int64{ids[0]: 3, ids[1]: 5}, 8, 2},
		{map[string]int64{ids[0]: 9}, 5, 5},
		{map[string]int64{}, 0, 10},
		{nil, 10, 10},
	} {
		got := 0
		err := r.Scan(t.Context(), results.Span{Upto: test.upto}, func(results.Row) error { got++; return nil })
		if err != nil || got != test.want {
			t.Errorf("Scan(%v) gave %d rows, %v; want %d", test.upto, got, err, test.want)
		}
		if late, err := r.LateRows(t.Context(), at.Add(-time.Second), at.Add(time.Hour), test.upto); err != nil || late != int64(test.late) {
			t.Errorf("LateRows(%v) = %d, %v; want %d", test.upto, late, err, test.late)
		}
	}
	server.Exec(url, "UPDATE dmarcgate.store SET ended = clock_timestamp() WHERE path = '/var/b'")
	stores, err := r.Stores(t.Context())
	if err != nil || len(stores) != 2 || stores[0].Ended || !stores[1].Ended || stores[1].Shipped != 5 {
		t.Errorf("Stores = %+v, %v; want both, the second one ended", stores, err)
	}
}
