//go:build mta

package xml_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	_ "modernc.org/sqlite" // of the store of Mail::DMARC

	"dmarcgate/internal/pgtest"
	"dmarcgate/internal/reporttest"
	"dmarcgate/report"
	reportxml "dmarcgate/report/xml"
	"dmarcgate/results"
	"dmarcgate/results/dbread"
	"dmarcgate/results/pg"
	"dmarcgate/results/sqlite"
)

const newSchema = "testdata/dmarc-9990.xsd"

// oldSchema derives the schema of RFC 7489.
func oldSchema(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dmarc-7489-derived.xsd")
	if err := os.WriteFile(path, run(t, "", "testdata/derive-7489.sh"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a program in a folder and returns its standard output.
func run(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	out, err := start(t.Context(), dir, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func start(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%.3000s\n%.3000s", name, err, out, &stderr)
	}
	return out, err
}

// inForm makes documents of rows in one form.
func inForm(t *testing.T, form report.Form, rows []results.Row) []document {
	t.Helper()
	m := newMaker(t)
	m.Forms = func(*report.Report) []report.Form { return []report.Form{form} }
	all, _ := documents(t, m, rows)
	return all
}

// files writes documents, each under its name without .gz.
func files(t *testing.T, all []document) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	for _, d := range all {
		path := filepath.Join(dir, strings.TrimSuffix(d.FileName(), ".gz"))
		if err := os.WriteFile(path, d.text, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return dir, paths
}

// everyWord has what the documents together must have, so that every enumeration was met.
var everyWord = map[report.Form][]string{
	report.RFC9990: {
		"<disposition>none<", "<disposition>pass<", "<disposition>quarantine<", "<disposition>reject<", "<type>local_policy<", "<type>mailing_list<", "<type>other<", "<type>policy_test_mode<",
		"<type>trusted_forwarder<", "<discovery_method>treewalk<", "<np>reject<", "<testing>y<", "<result>policy<", "<source_ip>2001:db8::", "<envelope_from></envelope_from>", "xn--bcher-kva.example", "<error>", "<human_result>",
		"<result>none<", "<result>pass<", "<result>fail<", "<result>neutral<", "<result>temperror<", "<result>permerror<", "<result>softfail<", "<generator>", "<envelope_to>",
	},
	report.RFC7489: {
		"<disposition>none<", "<disposition>quarantine<", "<disposition>reject<", "<type>local_policy<", "<type>mailing_list<", "<type>other<", "<type>sampled_out<", "<type>forwarded<",
		"<type>trusted_forwarder<", "<pct>25<", "<source_ip>2001:db8::", "<envelope_from></envelope_from>", "xn--bcher-kva.example", "<error>", "<human_result>", "<scope>mfrom<", "<domain>unknown.invalid<",
		"<result>none<", "<result>pass<", "<result>fail<", "<result>policy<", "<result>neutral<", "<result>temperror<", "<result>permerror<", "<result>softfail<",
	},
}

// schemaRows make at least 200 documents.
func schemaRows(t *testing.T, form report.Form) []document {
	t.Helper()
	all := inForm(t, form, reporttest.Rows(51, 4000))
	if len(all) < 200 {
		t.Fatalf("there are %d documents; want at least 200", len(all))
	}
	var whole strings.Builder
	for _, d := range all {
		whole.Write(d.text)
	}
	for _, word := range everyWord[form] {
		if !strings.Contains(whole.String(), word) {
			t.Errorf("no document has %s", word)
		}
	}
	return all
}

func TestXSD9990(t *testing.T) {
	_, paths := files(t, schemaRows(t, report.RFC9990))
	run(t, "", "xmllint", append([]string{"--noout", "--schema", newSchema}, paths...)...)
	run(t, "", "jing", append([]string{newSchema}, paths...)...)
}

func TestXSD7489(t *testing.T) {
	_, paths := files(t, schemaRows(t, report.RFC7489))
	run(t, "", "xmllint", append([]string{"--noout", "--schema", oldSchema(t)}, paths...)...)
}

// The validators must be able to refuse: what the other form has, and what a form lacks.
func TestXSD7489And9990RefuseMutations(t *testing.T) {
	mutations := []struct {
		name, old, changed string
		form               report.Form
	}{
		{"pct", "<fo>", "<pct>100</pct><fo>", report.RFC9990},
		{"sampled_out", "<type>other</type>", "<type>sampled_out</type>", report.RFC9990},
		{"scope helo", "<scope>mfrom</scope>", "<scope>helo</scope>", report.RFC9990},
		{"two errors", "<generator>", "<error>another</error><generator>", report.RFC9990},
		{"no selector", "<selector>s1</selector>", "", report.RFC9990},
		{"t in place of testing", "<testing>y</testing>", "<t>y</t>", report.RFC9990},
		{"no fo", "<fo>1:d</fo>", "", report.RFC7489},
		{"disposition pass", "<disposition>none</disposition>", "<disposition>pass</disposition>", report.RFC7489},
		{"testing in the old form", "<fo>", "<testing>y</testing><fo>", report.RFC7489},
	}
	schemas := map[report.Form]string{report.RFC9990: newSchema, report.RFC7489: oldSchema(t)}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata/written", string(m.form)+".xml"))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "a.xml")
			validate := func(text []byte) error {
				if err := os.WriteFile(path, text, 0o600); err != nil {
					t.Fatal(err)
				}
				_, err := start(t.Context(), "", "xmllint", "--noout", "--schema", schemas[m.form], path)
				return err
			}
			if err := validate(text); err != nil {
				t.Fatalf("without a mutation: %v", err)
			}
			changed := bytes.Replace(text, []byte(m.old), []byte(m.changed), 1)
			if bytes.Equal(changed, text) {
				t.Fatalf("the document has no %s", m.old)
			}
			if validate(changed) == nil {
				t.Error("the mutation is valid for xmllint")
			}
			if _, err := start(t.Context(), "", "jing", schemas[m.form], path); err == nil {
				t.Error("the mutation is valid for jing")
			}
		})
	}
}

// tuple is what oracles and documents count by.
type tuple struct{ ip, from, disposition string }

// sums counts the messages of documents with our own reader.
func sums(t *testing.T, all []document, disposition bool) map[tuple]int64 {
	t.Helper()
	out := make(map[tuple]int64)
	for _, d := range all {
		_, records, err := read(t, d.text)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			k := tuple{ip: r.Source.String(), from: r.HeaderFrom}
			if disposition {
				k.disposition = string(r.Disposition)
			}
			out[k] += r.Count
		}
	}
	return out
}

// dmarc-cat (Go, of Debian) reads both forms, and Mail::DMARC (Perl, of Debian) that of
// RFC 7489. Version 0.15 of dmarc-cat mixes rows up when it resolves in parallel.
func TestDmarcCat(t *testing.T) {
	for _, form := range []report.Form{report.RFC9990, report.RFC7489} {
		t.Run(string(form), func(t *testing.T) {
			all := inForm(t, form, reporttest.Rows(61, 800))
			got := make(map[tuple]int64)
			for _, d := range all {
				path := filepath.Join(t.TempDir(), d.FileName())
				if err := os.WriteFile(path, d.zipped, 0o600); err != nil {
					t.Fatal(err)
				}
				addCat(t, got, string(run(t, "", "dmarc-cat", "-N", "-j", "1", path)))
			}
			if want := sums(t, all, false); !maps.Equal(got, want) {
				t.Errorf("dmarc-cat has %d sums; want %d: %s", len(got), len(want), firstDifferences(got, want))
			}
		})
	}
	t.Run("Mail::DMARC", mailDMARC)
}

// addCat adds the lines of a table: address, count, header_from and results.
func addCat(t *testing.T, sums map[tuple]int64, out string) {
	t.Helper()
	_, table, ok := strings.Cut(out, "Reports(")
	if !ok {
		t.Fatalf("dmarc-cat prints no table:\n%s", out)
	}
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		if _, err := netip.ParseAddr(f[0]); err != nil {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		sums[tuple{ip: f[0], from: f[2]}] += n
	}
}

// memoryDir returns a folder in memory, or on the disk of a host that has no such folder:
// Mail::DMARC waits for the disk after each row of its tables.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "dmarcgate-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// mailDMARC has Mail::DMARC read documents as mail.
func mailDMARC(t *testing.T) {
	rows := slices.DeleteFunc(reporttest.Rows(71, 1500), func(r results.Row) bool { // each mail starts the program
		return len(r.Facts.Authors) == 0 || strings.HasPrefix(r.Facts.Authors[0].PolicyDomain, "d")
	})
	all := inForm(t, report.RFC7489, rows)
	dir, records := memoryDir(t), int64(0)
	config := "[organization]\ndomain = receiver.example\norg_name = Receiver\nemail = dmarc@receiver.example\n[dns]\ntimeout = 1\npublic_suffix_list = /usr/share/publicsuffix/public_suffix_list.dat\n" +
		"[report_store]\nbackend = SQL\ndsn = dbi:SQLite:dbname=" + dir + "/reports.sqlite\nauto_save = 0\n"
	if err := os.WriteFile(filepath.Join(dir, "mail-dmarc.ini"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if records += d.Rows; records > 2000 {
			t.Fatal("more than 2,000 records take this oracle too long")
		}
		path := filepath.Join(dir, d.ID+".eml")
		if err := os.WriteFile(path, mail(d), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, dir, "dmarc_receive", "--file", path)
	}
	got := stored(t, filepath.Join(dir, "reports.sqlite"))
	if want := sums(t, all, true); !maps.Equal(got, want) {
		t.Errorf("Mail::DMARC has %d sums; want %d: %s", len(got), len(want), firstDifferences(got, want))
	}
}

func compareTuples(a, b tuple) int {
	return strings.Compare(a.ip+" "+a.from+" "+a.disposition, b.ip+" "+b.from+" "+b.disposition)
}

func firstDifferences(got, want map[tuple]int64) string {
	var lines []string
	for _, k := range slices.SortedFunc(maps.Keys(want), compareTuples) {
		if got[k] != want[k] {
			lines = append(lines, fmt.Sprintf("%+v is %d; want %d", k, got[k], want[k]))
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(got), compareTuples) {
		if want[k] == 0 {
			lines = append(lines, fmt.Sprintf("%+v is %d; want none", k, got[k]))
		}
	}
	return strings.Join(lines[:min(len(lines), 10)], "\n")
}

// mail carries a document.
func mail(d document) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: dmarc@receiver.example\r\nTo: rua@bank.example\r\nSubject: Report Domain: %s Submitter: receiver.example Report-ID: %s\r\nDate: Mon, 28 Sep 2026 01:00:00 +0000\r\nMessage-ID: <%s@receiver.example>\r\n", d.PolicyDomain, d.ID, d.ID)
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/gzip; name=\"%[1]s\"\r\nContent-Disposition: attachment; filename=\"%[1]s\"\r\nContent-Transfer-Encoding: base64\r\n\r\n", d.FileName())
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(d.zipped)), 76) {
		b.Write(append(line[:len(line):len(line)], "\r\n"...))
	}
	b.WriteString("--b--\r\n")
	return b.Bytes()
}

// stored counts what Mail::DMARC has stored.
func stored(t *testing.T, path string) map[tuple]int64 {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT r.source_ip, d.domain, r.disposition, r.count FROM report_record AS r JOIN domain AS d ON d.id = r.header_from_did")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := make(map[tuple]int64)
	for rows.Next() {
		var ip []byte
		var k tuple
		var n int64
		if err := rows.Scan(&ip, &k.from, &k.disposition, &n); err != nil {
			t.Fatal(err)
		}
		a, ok := netip.AddrFromSlice(ip)
		if !ok {
			t.Fatalf("source_ip is %q", ip)
		}
		k.ip = a.String()
		out[k] += n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// The same rows give the same bytes from SQLite and from PostgreSQL.
func TestDeterministicOnBothEngines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.db")
	store, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Durability: sqlite.Async, Wait: time.Minute, Queue: 1000, Ship: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reporttest.Rows(81, 2000) {
		if len(r.Facts.Authors) > 0 && (strings.Contains(r.Facts.Authors[0].Domain, "\x00") || !utf8.ValidString(r.Facts.Authors[0].Domain)) {
			continue // PostgreSQL does not take such a text; no From field gives one
		}
		if got := store.Add(r).Outcome; got == results.Dropped {
			t.Fatalf("a row was %s", got)
		}
	}
	spool, err := store.Spool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	url := pgtest.Start(t).Database()
	shipper, err := pg.Start(struct {
		*sqlite.Store
		*sqlite.Spool
	}{store, spool}, pg.Options{Config: pg.Config{URL: url}, Place: pg.Place{Host: "a"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shipper.Stop(ctx) // ships what waits
	spool.Close()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := dbread.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	server, err := pg.OpenReader(t.Context(), pg.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	want, got := engineDigest(t, file.Scan), engineDigest(t, server.Scan)
	if strings.Count(want, "\n") < 100 || got != want {
		a, b := differing(got, want)
		t.Errorf("from PostgreSQL, a line is\n%s\nfrom SQLite\n%s", a, b)
	}
}

func engineDigest(t *testing.T, scan report.Scan) string {
	t.Helper()
	var b strings.Builder
	made, err := newMaker(t).Make(t.Context(), scan, reporttest.Day, func(d reportxml.Document) error {
		fmt.Fprintln(&b, d.Report.FileName(), d.SHA256)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%+v\n", made)
	return b.String()
}
