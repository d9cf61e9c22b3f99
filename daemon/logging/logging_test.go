package logging

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dmarcgate/config"
)

// logfmt is [log] as it is without a file.
func logfmt() config.Log { return config.Default().Log }

// messageLine logs a line as that of a message, with text that a client has chosen.
func messageLine(l Log, helo string) {
	l.LogAttrs(context.Background(), slog.LevelInfo, "", slog.String("qid", "4XyZ"), slog.String("helo", helo), slog.String("action", "reject"))
}

// linesOf returns the lines of a text.
func linesOf(text string) []string { return strings.Split(strings.TrimRight(text, "\n"), "\n") }

// stderrFile is a file in place of standard error, and its JOURNAL_STREAM.
func stderrFile(t *testing.T) (*os.File, string) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var s syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &s); err != nil {
		t.Fatal(err)
	}
	return f, fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

func TestLinesToTheJournalBeginWithTheirPriority(t *testing.T) {
	f, stream := stderrFile(t)
	t.Setenv("JOURNAL_STREAM", stream)
	c := logfmt()
	c.Level = "debug"
	l := Open(f, c)
	l.Error("one")
	l.Warn("two")
	l.Info("three")
	l.Debug("four")
	messageLine(l, "evil\n<0>panic")
	l.Close()
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	got := linesOf(string(text))
	want := []string{"<3>time=", "<4>time=", "<6>time=", "<7>time=", "<6>time="}
	if len(got) != len(want) {
		t.Fatalf("log = %q; want %d lines", got, len(want))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("line %d = %q; want it to begin with %s", i, got[i], want[i])
		}
	}
}

func TestLinesToTheJournalAreCutBelowItsLimit(t *testing.T) {
	f, stream := stderrFile(t)
	t.Setenv("JOURNAL_STREAM", stream)
	l := Open(f, logfmt())
	messageLine(l, strings.Repeat("h", 60_000))
	l.Close()
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	got := linesOf(string(text))
	if len(got) != 1 || len(got[0]) > maxJournalLine+len("<6>") || !strings.HasSuffix(got[0], cut) {
		t.Errorf("log has %d lines, the first of %d bytes; want one of at most %d that ends in %s", len(got), len(got[0]), maxJournalLine, cut)
	}
}

func TestLinesToAnotherStandardErrorHaveNoPriority(t *testing.T) {
	f, stream := stderrFile(t)
	for _, env := range []string{"", "8:1", stream + "0", "rubbish"} {
		t.Setenv("JOURNAL_STREAM", env)
		if onJournal(f) {
			t.Errorf("onJournal with JOURNAL_STREAM=%q = true; want false", env)
		}
	}
	t.Setenv("JOURNAL_STREAM", stream)
	var buf bytes.Buffer
	if onJournal(&buf) {
		t.Error("onJournal of a buffer = true; want false")
	}
}

func TestLevelAppliesToEachPriority(t *testing.T) {
	var buf bytes.Buffer
	l := Open(&buf, logfmt())
	l.Debug("unseen")
	l.SetLevel("error")
	l.Warn("unseen")
	l.Info("unseen")
	l.Error("seen")
	l.With("k", "v").WithGroup("g").Error("seen", "a", 1)
	if got := linesOf(buf.String()); len(got) != 2 || !strings.Contains(got[1], "k=v g.a=1") {
		t.Errorf("log = %q; want two lines of level error", got)
	}
}

func TestOpenDMARCLinesStandBesideTheLineOfAMessage(t *testing.T) {
	tests := []struct {
		name  string
		attrs []slog.Attr
		want  []string
	}{
		{"an envelope sender", []slog.Attr{slog.String("qid", "4Xy"), slog.String("helo", "mx.example"), slog.String("author", "bank.example"), slog.String("mail_from", "b.example"), slog.String("result", "fail"), slog.String("spf", "softfail")},
			[]string{"4Xy: SPF(mailfrom): b.example softfail", "4Xy: bank.example fail"}},
		{"the null path", []slog.Attr{slog.String("qid", "4Xy"), slog.String("helo", "mx.example"), slog.String("author", "bank.example"), slog.String("mail_from", "<>"), slog.String("result", "pass"), slog.String("spf", "pass")},
			[]string{"4Xy: SPF(helo): mx.example pass", "4Xy: bank.example pass"}},
		{"hostile HELO and author", []slog.Attr{slog.String("qid", "4Xy"), slog.String("helo", "x pass\n4Xz: good.example pass"), slog.String("author", "a b\x1b[2J"), slog.String("mail_from", "<>"), slog.String("result", "none"), slog.String("spf", "none")},
			[]string{"4Xy: SPF(helo): x?pass?4Xz:?good.example?pass none", "4Xy: a?b?[2J none"}},
		{"not evaluated", []slog.Attr{slog.String("qid", "4Xy"), slog.String("skip", "authenticated")}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var buf bytes.Buffer
			c := logfmt()
			c.OpenDMARCLines = true
			l := Open(&buf, c)
			l.LogAttrs(context.Background(), slog.LevelInfo, "", tt.attrs...)
			got := linesOf(buf.String())
			if strings.Join(got[:len(got)-1], "|") != strings.Join(tt.want, "|") || !strings.Contains(got[len(got)-1], " qid=4Xy ") {
				t.Errorf("log = %q; want %q and the line of the message", got, tt.want)
			}
		})
	}
}

func TestLogsPageHasTheLimits(t *testing.T) {
	page, err := os.ReadFile("../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("At most %d,%03d lines wait", queueLines/1000, queueLines%1000), fmt.Sprintf("more than %d KiB are cut", maxLine>>10),
		fmt.Sprintf("%d are written at once, and after that one every %.0f s", repeatBurst, repeatEvery.Seconds()),
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/logs.md does not have %q", want)
		}
	}
}
