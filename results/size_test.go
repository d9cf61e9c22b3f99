package results

import (
	"context"
	"testing"
)

// The size per row is promised for rows like those of the fixed mix.
func TestARowTakesLessThan600Bytes(t *testing.T) {
	opt := options(t)
	const n = 20_000
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = mixRow(i)
	}
	fill(t, opt, rows...)
	s := open(t, opt)
	var pages, size int
	if err := s.db.QueryRowContext(context.Background(), "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size").Scan(&pages, &size); err != nil {
		t.Fatal(err)
	}
	for _, part := range partsOf(t, s.Reader) {
		t.Logf("%-20s %4d bytes per row, %d of them unused", part.name, part.size/n, part.unused/n)
	}
	if got := pages * size / n; got >= 600 {
		t.Errorf("a row takes %d bytes of file; want less than 600", got)
	}
	var blob int
	if err := s.db.QueryRowContext(context.Background(), "SELECT CAST(avg(length(row)) AS INTEGER) FROM message").Scan(&blob); err == nil {
		t.Logf("blob: %d bytes", blob)
	}
}

// part is a table or an index.
type part struct {
	name         string
	size, unused int
}

// partsOf returns where the bytes of the file are, the largest first.
func partsOf(t *testing.T, r *Reader) []part {
	t.Helper()
	rs, err := r.db.QueryContext(context.Background(), "SELECT name, sum(pgsize) AS size, sum(unused) FROM dbstat GROUP BY name ORDER BY size DESC LIMIT 6")
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	var out []part
	for rs.Next() {
		var p part
		if err := rs.Scan(&p.name, &p.size, &p.unused); err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}
