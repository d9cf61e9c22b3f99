package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
)

// storeFile is the name of the store in the folder of a daemon.
const storeFile = "results.db"

// fileSize says where the bytes of a store are.
type fileSize struct {
	rows, bytes int64
	parts       []filePart // tables and indexes, the largest first
	values      []filePart // of a row of the table of messages
}

// filePart is a table, an index or a column.
type filePart struct {
	name          string
	bytes, unused int64
}

// leastPart is what a part has of the file at least to be shown.
const leastPart = 0.005

// columnsOfRow are the columns that take more than a byte or two.
var columnsOfRow = []string{"row", "qid", "author", "policy_domain", "client"}

// sizeOf measures a store that nobody writes.
func sizeOf(ctx context.Context, path string) (fileSize, error) {
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	db, err := sql.Open("sqlite", file.String()+"?mode=ro") // the driver of the room results
	if err != nil {
		return fileSize{}, err
	}
	defer db.Close()
	var s fileSize
	err = db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM message), page_count * page_size FROM pragma_page_count, pragma_page_size").Scan(&s.rows, &s.bytes)
	if err != nil {
		return s, fmt.Errorf("size of the store: %w", err)
	}
	if s.parts, err = readParts(ctx, db, "SELECT name, sum(pgsize) AS size, sum(unused) FROM dbstat GROUP BY name ORDER BY size DESC"); err != nil {
		return s, fmt.Errorf("parts of the store: %w", err)
	}
	var sums []string
	for _, c := range columnsOfRow {
		sums = append(sums, fmt.Sprintf("SELECT '%s', coalesce(sum(length(%s)), 0), 0 FROM message", c, c))
	}
	if s.values, err = readParts(ctx, db, strings.Join(sums, " UNION ALL ")); err != nil {
		return s, fmt.Errorf("columns of the store: %w", err)
	}
	return s, nil
}

func readParts(ctx context.Context, db *sql.DB, query string) ([]filePart, error) {
	rs, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rs.Close()
	var out []filePart
	for rs.Next() {
		var p filePart
		if err := rs.Scan(&p.name, &p.bytes, &p.unused); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, rs.Err()
}

// facts say the size, hold it against what is promised, and say where it is.
func (s fileSize) facts() []string {
	if s.rows == 0 {
		return []string{"size of the store: not measured"}
	}
	n := float64(s.rows)
	size := float64(s.bytes) / n
	var lines []string
	for _, p := range s.parts {
		if each := float64(p.bytes) / n; each >= leastPart*size {
			lines = append(lines, fmt.Sprintf("%-20s %6.1f MB, of which %.1f unused", p.name, each, float64(p.unused)/n))
		}
	}
	for _, p := range s.values {
		lines = append(lines, fmt.Sprintf("message.%-12s %6.1f MB", p.name, float64(p.bytes)/n))
	}
	return []string{
		fmt.Sprintf("size of 1,000,000 rows, from %d = %.0f MB < %d MB %s", s.rows, size, bytesOfRow, verdict(size < bytesOfRow)),
		indent(lines),
	}
}
