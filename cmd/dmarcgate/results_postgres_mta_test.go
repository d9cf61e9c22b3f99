//go:build mta

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/admin"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/pgtest"
)

// documentedDatabase makes the role and the database as docs/store.md says, but
// named gate, and returns its URL and a file with the password.
func documentedDatabase(t *testing.T, server *pgtest.Server) (url, passwordFile string) {
	t.Helper()
	found := blocks(t, "docs/store.md", "sql")
	if len(found) != 1 {
		t.Fatalf("docs/store.md has %d blocks of SQL; want one", len(found))
	}
	for statement := range strings.SplitSeq(strings.ReplaceAll(found[0], "dmarcgate", "gate"), ";") {
		if strings.TrimSpace(statement) != "" {
			server.Exec(server.URL("postgres"), statement)
		}
	}
	passwordFile = filepath.Join(t.TempDir(), "pg-password")
	if err := os.WriteFile(passwordFile, []byte("a long random password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("postgres://gate@%s/gate?sslmode=verify-full&sslrootcert=%s", server.Addr(), server.CA()), passwordFile
}

// shippingDaemon runs a daemon that moves its results, and a client of it.
func shippingDaemon(t *testing.T, server *pgtest.Server) (*served, *miltertest.Client) {
	t.Helper()
	url, password := documentedDatabase(t, server)
	dns := dnstest.New(t, toolZone+". NS ns.example.\n!any\n")
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{
		Extra: fmt.Sprintf("[store.postgres]\nurl = %q\npassword_file = %q\n", url, password)})
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return d, client
}

func sendSpoof(t *testing.T, client *miltertest.Client, qid string) {
	t.Helper()
	if res, err := client.Send(daemontest.SpoofedMail(qid)); err != nil || res.Code != 550 {
		t.Fatalf("Send(%s) = %+v, %v; want 550", qid, res, err)
	}
}

func waitShipped(t *testing.T, d *served) {
	t.Helper()
	daemontest.Eventually(t, "all results to be in PostgreSQL", func() bool {
		s := d.Status(t.Context()).Results
		pg := s.Postgres
		return s.Failure == "" && pg.State == "shipping" && pg.Shipped >= s.Rows && pg.Waiting == 0
	})
}

func TestAllHostsReadsPostgreSQL(t *testing.T) {
	d, client := shippingDaemon(t, pgtest.Start(t))
	cfg := d.path
	sendSpoof(t, client, "4XyZ1")
	waitShipped(t, d)
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"top", "failing", "--all-hosts"}, "bank.example"},
		{[]string{"explain", "--qid", "4XyZ1", "--all-hosts"}, "dmarc bank.example: fail"},
		{[]string{"results", "export", "--all-hosts", "--domain", "bank.example"}, `"qid":"4XyZ1"`},
		{[]string{"results", "status"}, "host "},
		{[]string{"results", "status"}, "PostgreSQL: shipping"},
		{[]string{"results", "purge", "--postgres", "--domain", "bank.example", "--dry-run"}, "1 results would be deleted"},
		{[]string{"results", "purge", "--postgres", "--domain", "bank.example", "--yes"}, "1 results deleted"},
		{[]string{"results", "purge", "--postgres", "--domain", "bank.example", "--yes"}, "0 results deleted"},
	}
	for _, tt := range tests {
		if code, out, stderr := command(append(tt.args, "-c", cfg)...); code != 0 || !strings.Contains(out, tt.want) {
			t.Errorf("%q = %d, %s%s; want %q in it", tt.args, code, out, stderr, tt.want)
		}
	}
	code, out, _ := command("results", "status", "-c", cfg, "--json")
	var s struct {
		admin.ResultsStatus
		Hosts []struct {
			StoreID string `json:"store"`
		}
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || len(s.Hosts) != 1 || s.Hosts[0].StoreID != d.Store().ID() || s.Postgres == nil {
		t.Errorf("results status --json = %d, %s, %v; want this host and PostgreSQL", code, out, err)
	}
	if code, _, stderr := command("results", "adopt", "-c", cfg); code != 1 || !strings.Contains(stderr, "not refused") {
		t.Errorf("results adopt of a store that is not refused = %d, %q; want 1 and why", code, stderr)
	}
}

// A machine that reads alone has no store, and is told of PostgreSQL.
func TestAllHostsWithoutStore(t *testing.T) {
	d, client := shippingDaemon(t, pgtest.Start(t))
	sendSpoof(t, client, "4XyZ1")
	waitShipped(t, d)
	text, err := os.ReadFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := write(t, "reader.toml", strings.Replace(string(text), "[store.postgres]", "[store]\npath = \"/nonexistent/results.db\"\n[store.postgres]", 1))
	code, out, stderr := command("top", "failing", "-c", elsewhere)
	if code != 0 || !strings.Contains(out, "bank.example") || !strings.Contains(stderr, "results of all hosts") {
		t.Errorf("top without a store = %d, %s, %q; want those of all hosts, and that it says so", code, out, stderr)
	}
}

func TestServeDoesNotNeedPostgreSQL(t *testing.T) {
	server := pgtest.Start(t)
	d, client := shippingDaemon(t, server)
	sendSpoof(t, client, "1")
	waitShipped(t, d)
	server.Stop()
	sendSpoof(t, client, "2")
	daemontest.Eventually(t, "the status to tell that a row waits", func() bool {
		_, out, _ := command("status", "-c", d.path)
		return strings.Contains(out, "PostgreSQL: connecting") && strings.Contains(out, "1 rows wait, the oldest for")
	})
	web := "http://" + d.Web().String()
	daemontest.Eventually(t, "readiness", func() bool { code, _ := daemontest.Get(t, web+"/readyz"); return code == 200 })
	if _, body := daemontest.Get(t, web+"/readyz"); strings.Contains(strings.ToLower(body), "postgres") {
		t.Errorf("GET /readyz = %q; want nothing of PostgreSQL", body)
	}
	_, out, _ := command("results", "status", "-c", d.path)
	if !strings.Contains(out, "hosts: ") {
		t.Errorf("results status = %s; want that the hosts cannot be asked", out)
	}
	server.Restart()
	waitShipped(t, d)
}
