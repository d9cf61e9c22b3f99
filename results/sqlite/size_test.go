package sqlite

import (
	"context"
	"testing"

	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/blob"
	"dmarcgate/results/dbread"
)

// The size per row is promised for rows like those of the fixed mix.
func TestAddTakesLessThan450BytesPerRow(t *testing.T) {
	opt := options(t)
	const n = 20_000
	rows := make([]results.Row, n)
	for i := range rows {
		rows[i] = mixRow(i)
	}
	fill(t, opt, rows...)
	s := open(t, opt)
	var pages, size int
	if err := s.QueryRowContext(context.Background(), "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size").Scan(&pages, &size); err != nil {
		t.Fatal(err)
	}
	for _, part := range partsOf(t, s.Reader) {
		t.Logf("%-20s %4d bytes per row, %d of them unused", part.name, part.size/n, part.unused/n)
	}
	if got := pages * size / n; got >= 450 {
		t.Errorf("a row takes %d bytes of file; want less than 450", got)
	}
	var blob int
	if err := s.QueryRowContext(context.Background(), "SELECT CAST(avg(length(row)) AS INTEGER) FROM message").Scan(&blob); err == nil {
		t.Logf("blob: %d bytes", blob)
	}
	for _, g := range groupsOf(t, rows) {
		t.Logf("  %-10s %4d bytes of it, when nothing else says the same", g.name, g.size/n)
	}
}

// groupsOf returns what the blobs would lack without some of their fields. A
// string that another group has too is in none of the figures.
func groupsOf(t *testing.T, rows []results.Row) []part {
	t.Helper()
	groups := []struct {
		name  string
		clear func(*results.Row)
	}{
		{"envelope", func(r *results.Row) {
			r.Facts.Helo, r.Facts.MailFrom, r.Facts.Recipients, r.Facts.Listener = "", "", nil, ""
		}},
		{"spf", func(r *results.Row) { r.Facts.SPF, r.Facts.HELO = policy.SPF{}, policy.SPF{} }},
		{"dkim", func(r *results.Row) { r.Facts.DKIM = nil }},
		{"authors", func(r *results.Row) { r.Facts.Authors = nil }},
		{"decision", func(r *results.Row) { r.Decision = policy.Decision{Author: r.Decision.Author} }},
	}
	out := make([]part, len(groups))
	var e blob.Encoder
	size := func(r *results.Row) int {
		c, err := e.Columns(r)
		if err != nil {
			t.Fatal(err)
		}
		return len(c.Blob)
	}
	for _, r := range rows {
		whole := size(&r)
		for i, g := range groups {
			without := r
			g.clear(&without)
			out[i].name = g.name
			out[i].size += whole - size(&without)
		}
	}
	return out
}

// part is a table or an index.
type part struct {
	name         string
	size, unused int
}

// partsOf returns where the bytes of the file are, the largest first.
func partsOf(t *testing.T, r *dbread.Reader) []part {
	t.Helper()
	rs, err := r.QueryContext(context.Background(), "SELECT name, sum(pgsize) AS size, sum(unused) FROM dbstat GROUP BY name ORDER BY size DESC LIMIT 6")
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
