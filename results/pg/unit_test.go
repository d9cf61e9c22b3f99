package pg

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

func TestCheckRequiresTLSForRemoteServer(t *testing.T) {
	tests := []struct {
		url  string
		want string // the server name that its certificate must have, "" without TLS
	}{
		{"postgres://u@db.example/d", "db.example"},
		{"postgres://u@127.0.0.1/d?sslmode=disable", ""},
		{"postgres://u@db.example/d?sslmode=disable", ""},
		{"postgres://u@/d?host=/run/postgresql", ""},
	}
	for _, tt := range tests {
		conf, err := Config{URL: tt.url}.parse("")
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if conf.TLSConfig != nil && !conf.TLSConfig.InsecureSkipVerify {
			got = conf.TLSConfig.ServerName
		}
		if got != tt.want {
			t.Errorf("parse(%q) checks the name %q; want %q", tt.url, got, tt.want)
		}
	}
}

func TestCheckHidesPassword(t *testing.T) {
	for _, url := range []string{"postgres://u:s3cret@db:port/d", "host=db password=s3cret", "postgres://u:s3cret@db/d?sslmode=s", "mysql://u:s3cret@db/d", "postgres://u:s3cret%zz@db/d"} {
		err := Config{URL: url}.Check()
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Check(%q) = %v; want an error without the password", url, err)
		}
	}
}

func TestPasswordFileUsesFirstLine(t *testing.T) {
	tests := []struct{ text, want string }{
		{"word\n", "word"}, {"word", "word"}, {"a b \r\nnote\n", "a b "}, {"", ""}, {"\nword\n", ""},
	}
	for _, tt := range tests {
		path := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readPassword(path)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("readPassword(%q) = %q, %v; want %q", tt.text, got, err, tt.want)
		}
	}
}

func TestPauseGrowsAndVaries(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for failures := range 100 {
		longest := longestWait
		if failures < 6 {
			longest = firstWait << failures
		}
		d := pause(failures)
		if d < longest/2 || d > longest {
			t.Errorf("pause(%d) = %v; want %v to %v", failures, d, longest/2, longest)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 pauses have %d lengths; want them to vary", len(seen))
	}
}

func TestRefusedRowIsReported(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	good := blob.Shipment{Time: now, QueueID: "4XyZ", Author: "bank.example"}
	tests := []struct {
		name   string
		change func(*blob.Shipment)
		want   string
	}{
		{"a usual one", func(*blob.Shipment) {}, ""},
		{"the character zero", func(r *blob.Shipment) { r.QueueID = "4\x00" }, whyBadValue},
		{"not UTF-8", func(r *blob.Shipment) { r.Author = "\xff.example" }, whyBadValue},
		{"too long for an index", func(r *blob.Shipment) { r.QueueID = strings.Repeat("x", 3000) }, whyBadValue},
		{"too big", func(r *blob.Shipment) { r.Encoded = make([]byte, maxRow+1) }, whyTooBig},
		{"of the far future", func(r *blob.Shipment) { r.Time = now.AddDate(2, 0, 0) }, whyBadTime},
		{"older than what is kept", func(r *blob.Shipment) { r.Time = now.AddDate(0, 0, -31) }, whyExpired},
		{"of the oldest day that is kept", func(r *blob.Shipment) { r.Time = now.AddDate(0, 0, -30).Truncate(24 * time.Hour) }, ""},
	}
	oldest := Config{RetentionDays: 30}.oldest(now)
	for _, tt := range tests {
		r := good
		tt.change(&r)
		if got := fault(r, oldest, now.Add(maxFuture)); got != tt.want {
			t.Errorf("%s: fault() = %q; want %q", tt.name, got, tt.want)
		}
	}
}

func TestBatchHalvesAreComplete(t *testing.T) {
	b := batch{from: 10, to: 16, rows: []blob.Shipment{{Sequence: 11}, {Sequence: 13}, {Sequence: 14}},
		refused: []refusal{{seq: 12}, {seq: 15}, {seq: 16}}, restates: []results.Restate{{Sequence: 11}}}
	first, second := b.halves(1)
	if first.from != 10 || first.to != 12 || second.from != 12 || second.to != 16 {
		t.Errorf("marks = %d-%d, %d-%d; want 10-12, 12-16", first.from, first.to, second.from, second.to)
	}
	if len(first.rows) != 1 || len(second.rows) != 2 || len(first.refused) != 1 || len(second.refused) != 2 || len(second.restates) != 1 {
		t.Errorf("halves = %+v, %+v; want all of the batch in one of them", first, second)
	}
}

func TestMigrateAcceptsNewerCompatibleSchema(t *testing.T) {
	tests := []struct {
		v       version
		migrate bool
		refused bool
	}{
		{version{}, true, false},
		{version{schemaVersion, minVersion}, false, false},
		{version{schemaVersion + 3, schemaVersion}, false, false},
		{version{schemaVersion + 3, schemaVersion + 1}, false, true},
	}
	for _, tt := range tests {
		migrate, err := tt.v.usable()
		if migrate != tt.migrate || (err != nil) != tt.refused {
			t.Errorf("%+v.usable() = %v, %v; want %v, refused %v", tt.v, migrate, err, tt.migrate, tt.refused)
		}
	}
}

func TestThisPlaceHashesMachineID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "machine-id")
	if err := os.WriteFile(path, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := machine(path)
	if len(got) != 16 || strings.Contains("0123456789abcdef0123456789abcdef", got) {
		t.Errorf("machine() = %q; want 16 digits that are not of the id", got)
	}
	if got := machine(path + ".none"); got != "" {
		t.Errorf("machine() without the file = %q; want nothing", got)
	}
}
