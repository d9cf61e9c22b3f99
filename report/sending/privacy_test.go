package sending

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // of the queue

	"dmarcgate/report/deliver"
	"dmarcgate/report/queue"
	"dmarcgate/results"
)

// tablesWith returns the tables of a queue that have a text, and the plain documents.
func tablesWith(t *testing.T, path, text string) (tables []string, documents string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var names []string
	each(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table'", func(v []any) { names = append(names, fmt.Sprint(v[0])) })
	for _, name := range names {
		each(t, db, "SELECT * FROM "+name, func(v []any) {
			for _, x := range v {
				b, isBlob := x.([]byte)
				if isBlob && name == "report_body" {
					z, err := gzip.NewReader(bytes.NewReader(b))
					if err != nil {
						t.Fatal(err)
					}
					if b, err = io.ReadAll(z); err != nil {
						t.Fatal(err)
					}
					documents += string(b)
				}
				if strings.Contains(fmt.Sprintf("%s", x)+string(b), text) && !slices.Contains(tables, name) {
					tables = append(tables, name)
				}
			}
		})
	}
	slices.Sort(tables)
	return tables, documents
}

func each(t *testing.T, db *sql.DB, query string, f func([]any)) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		f(values)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// The address of a destination is where mail is sent by it, and nowhere else: not in the
// log, in no document, and after a purge nowhere in the file.
func TestPrivacyOfDestinations(t *testing.T) {
	s := ready(t, "bank.example", "any.example", "quoted.example", "zoo.example")
	for _, domain := range []string{"bank.example", "any.example", "zoo.example"} {
		s.wants(domain, "secret.person@"+domain)
	}
	s.wants("quoted.example", `"secret person"@quoted.example`) // no mail can be made for it
	s.reply = func(to string) deliver.Outcome {
		switch to {
		case "secret.person@any.example":
			return deliver.Outcome{Class: deliver.Refused, Phase: deliver.Rcpt, Code: 550, Enhanced: "5.1.1", Text: "<" + to + "> is unknown", Host: "h"}
		case "secret.person@zoo.example":
			return deliver.Outcome{Class: deliver.OurFault, Phase: deliver.Rcpt, Code: 550, Enhanced: "5.1.8", Text: "<" + to + "> takes no mail of yours", Host: "h"}
		}
		return deliver.Outcome{Class: deliver.Sent}
	}
	var log bytes.Buffer
	h := s.host("a")
	h.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.until(h, day(3, 12), time.Hour)
	h.Close()
	if len(s.mails) != 1 || !s.counts.paused {
		t.Fatalf("%d mails, paused: %v; want one, then a pause\n%s", len(s.mails), s.counts.paused, &log)
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log names an address:\n%s", &log)
	}
	tables, documents := tablesWith(t, s.path, "secret")
	if !slices.Equal(tables, []string{"delivery", "suppression"}) || !strings.Contains(documents, "bank.example") || strings.Contains(documents, "secret") {
		t.Errorf("tables %q name an address; want those of deliveries and suppressions alone\n%s", tables, documents)
	}
	purgeDomain(t, s, "bank.example")
	for _, suffix := range []string{"", "-wal"} {
		if text, err := os.ReadFile(s.path + suffix); err == nil && bytes.Contains(text, []byte("secret.person@bank.example")) {
			t.Errorf("%s has the address after it was deleted", s.path+suffix)
		}
	}
}

func purgeDomain(t *testing.T, s *site, domain string) {
	t.Helper()
	q, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if _, err := q.Purge(context.Background(), queue.Purge{Domain: domain}); err != nil {
		t.Fatal(err)
	}
}

// A client address that was shortened before the report was made is in no report: with
// shorten_ip_after = "1h", all of the day but those of its last hour.
func TestPrivacyOfShortenedAddresses(t *testing.T) {
	s := ready(t, "bank.example")
	for range 3 {
		s.receives(day(2, 13), "bank.example")
		s.rows[len(s.rows)-1].Facts.Client = netip.MustParseAddr("198.51.100.77")
	}
	s.receives(day(3, 0).Add(-time.Minute), "bank.example")
	p := results.Privacy{ShortenIPAfter: time.Hour}
	for i := range s.rows {
		p.Conceal(&s.rows[i], func() time.Time { return s.now })
	}
	s.until(s.host("a"), day(3, 12), time.Hour)
	_, documents := tablesWith(t, s.path, "")
	if len(s.mails) != 1 || strings.Contains(documents, "198.51.100") || !strings.Contains(documents, "192.0.2.10") {
		t.Errorf("%d mails, and documents are\n%s\nwant one, about the whole address alone", len(s.mails), documents)
	}
	if s.counts.rows["unreportable"] != 4 || s.counts.rows["reported"] != 1 {
		t.Errorf("rows: %v; want 4 unreportable and 1 reported", s.counts.rows)
	}
}
