//go:build mta

package main

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"dmarcgate/internal/dnstest"
)

// What PostgreSQL gets of the same messages is no more personal, in any column
// of any table.
func TestPrivacyOfShippedRows(t *testing.T) {
	f := newFleet(t, 0)
	f.dns = dnstest.New(t, privacyZone)
	m := f.add("p").run()
	n := sendSecrets(t, m.host)
	m.awaitMetric("to be 0", func(v float64) bool { return v == 0 }, "dmarcgate_milter_sessions_active")
	written := int(m.metric("dmarcgate_store_records_total", `outcome="written"`))
	await(t, stopTime, func() string { return fmt.Sprintf("%d rows in PostgreSQL", written) }, func() bool {
		return f.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'dmarcgate' AND tablename = 'message'") == 1 &&
			f.ask("SELECT count(*) FROM dmarcgate.message") >= written
	})
	m.nothingLost()
	tables := f.tables()
	mustNotTell(t, "the schema dmarcgate", tables, "good.example")
	mustNotTell(t, "the log of PostgreSQL", f.server.Log(), "ready to accept connections")
	t.Logf("%d rows of messages with %d secrets, %d bytes of tables", written, n, len(tables))
}

// tables returns all tables of the database, with bytes as the characters that
// they are where they are any.
func (f *fleet) tables() string {
	f.t.Helper()
	ctx := f.t.Context()
	conn, err := pgx.Connect(ctx, f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET bytea_output = 'escape'"); err != nil {
		f.t.Fatal(err)
	}
	// The rows of a partitioned table are in its partitions.
	rows, err := conn.Query(ctx, `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		f.t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatal(err)
	}
	var all bytes.Buffer
	for _, name := range names {
		fmt.Fprintf(&all, "%s\n", name)
		if _, err := conn.PgConn().CopyTo(ctx, &all, "COPY "+name+" TO STDOUT"); err != nil {
			f.t.Fatalf("reading %s: %v", name, err)
		}
	}
	return all.String()
}
