package store

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

func TestCellOfCSVIsPrintableAndNoFormula(t *testing.T) {
	for in, want := range map[string]string{"": "", "a b": "a b", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@a": "'@a", "a=1": "a=1", "a\r\nb": "a??b", "\x1b[1m": "?[1m"} {
		if got := cell(in); got != want {
			t.Errorf("cell(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestPurgeQuestionNamesEachCondition(t *testing.T) {
	all := results.Purge{Domain: "bank.example", Client: netip.MustParsePrefix("192.0.2.0/24"), Before: time.Unix(0, 0)}
	for _, tt := range []struct {
		o    PurgeOptions
		want string
	}{
		{PurgeOptions{Meant: all}, "Delete all results of this host that name bank.example and of clients in 192.0.2.0/24 and from before 1970-01-01 00:00:00 UTC?"},
		{PurgeOptions{Meant: results.Purge{Domain: "bank.example"}, Postgres: true}, "Delete all results of all hosts in PostgreSQL that name bank.example?"},
	} {
		if got := tt.o.question(); got != tt.want {
			t.Errorf("question = %q; want %q", got, tt.want)
		}
	}
}

func TestTopNamesTheDefectsOfTheRecordBeforeTheFromField(t *testing.T) {
	for _, tt := range []struct {
		m    results.Malformed
		want string
	}{
		{results.Malformed{Defects: []string{"bad_p", "bad_rua"}, FromField: policy.FromMissing}, "bad_p bad_rua"},
		{results.Malformed{FromField: policy.FromMissing}, "from_field: " + string(policy.FromMissing)},
		{results.Malformed{}, "-"},
	} {
		if got := whatIsMalformed(tt.m); got != tt.want {
			t.Errorf("whatIsMalformed(%+v) = %q; want %q", tt.m, got, tt.want)
		}
	}
}

// rows is a store that has so many rows, and nothing else.
type rows struct {
	site.Store
	n int
}

func (r rows) Scan(_ context.Context, _ results.Span, f func(results.Row) error) error {
	for range r.n {
		if err := f(results.Row{}); err != nil {
			return err
		}
	}
	return nil
}

// eachSecond is a Progress on a terminal for which a second passes at every look.
func eachSecond(out *bytes.Buffer) *term.Progress {
	now := time.Unix(1000, 0)
	return &term.Progress{Out: out, Now: func() time.Time { now = now.Add(time.Second); return now }}
}

func TestExportAndImportShowProgress(t *testing.T) {
	var out, shown bytes.Buffer
	if err := Export(t.Context(), &out, rows{n: 5}, ExportOptions{Progress: eachSecond(&shown)}); err != nil {
		t.Fatal(err)
	}
	if want := "\r3 results\r4 results\r5 results\r         \r"; shown.String() != want {
		t.Errorf("Export shows %q; want %q", shown.String(), want)
	}
	path := filepath.Join(t.TempDir(), "opendmarc.dat")
	block := fmt.Sprintf("job 4Xyz\nreporter mx1.receiver.example\nreceived %d\nipaddr 203.0.113.66\nfrom bank.example\nmfrom forwarder.example\nspf 0\npdomain bank.example\npolicy 16\np 114\naction 2\n", time.Now().Unix()-3600)
	if err := os.WriteFile(path, []byte(strings.Repeat(block, 3)), 0o600); err != nil {
		t.Fatal(err)
	}
	shown.Reset()
	if err := Import(t.Context(), &out, &out, ImportOptions{Files: []string{path}, DryRun: true, Progress: eachSecond(&shown)}); err != nil {
		t.Fatal(err)
	}
	if want := "\r3 messages\r          \r"; shown.String() != want {
		t.Errorf("Import shows %q; want %q", shown.String(), want)
	}
}

// What was read before a file that cannot be opened is told all the same.
func TestImportTellsWhatItReadBeforeItFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "opendmarc.dat")
	text := fmt.Sprintf("job 4Xyz\nreporter mx1.receiver.example\nreceived %d\nipaddr 203.0.113.66\nfrom bank.example\nmfrom forwarder.example\nspf 0\npdomain bank.example\npolicy 16\np 114\naction 2\n", time.Now().Unix()-3600)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, warn bytes.Buffer
	err := Import(t.Context(), &out, &warn, ImportOptions{Files: []string{path, path + "x"}, DryRun: true})
	if err == nil || !strings.Contains(err.Error(), path+"x") || out.String() != "1 messages read: 1 importable, 0 refused\n" {
		t.Errorf("Import = %v, %q, %q; want the file that is not there, and the message before it", err, out.String(), warn.String())
	}
}
