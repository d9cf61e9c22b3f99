package term

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
)

func TestPrintableLeavesNoByteThatMovesACursor(t *testing.T) {
	var all strings.Builder
	for c := range 256 {
		all.WriteByte(byte(c))
	}
	all.WriteString("\u202e\u009b")
	got := ASCII(all.String())
	if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) || !strings.Contains(got, " !\"#") {
		t.Errorf("ASCII(every byte) = %q; want printable ASCII as it is, and ? for all else", got)
	}
}

func TestPrintableIsBounded(t *testing.T) {
	whole, long := strings.Repeat("x", MaxShown), strings.Repeat("x", MaxShown+1)
	for in, want := range map[string]string{whole: whole, long: whole + "...", "": ""} {
		if got := Printable(in); got != want {
			t.Errorf("Printable(%d bytes) = %d bytes; want %d", len(in), len(got), len(want))
		}
	}
	if got := ErrorText(errors.New("a\nb")); got != "a?b" || ErrorText(nil) != "" {
		t.Errorf("ErrorText(a, line feed, b) = %q; want a?b, and nothing for nil", got)
	}
}

func TestCountTakesThePluralExceptForOne(t *testing.T) {
	for n, want := range map[int]string{0: "0 rules", 1: "1 rule", 2: "2 rules"} {
		if got := Count(n, "rule"); got != want {
			t.Errorf("Count(%d, rule) = %q; want %q", n, got, want)
		}
	}
}

func TestAgeIsNeverNegative(t *testing.T) {
	now := time.Unix(1000, 0)
	if got := Age(now, now.Add(time.Hour)); got != 0 {
		t.Errorf("Age() of a time to come = %v; want 0", got)
	}
	if got := Age(now, now.Add(-1600*time.Millisecond)); got != 2*time.Second {
		t.Errorf("Age() of 1.6 s = %v; want whole seconds", got)
	}
}

func TestShellWordQuotesWhatAShellWouldRead(t *testing.T) {
	for in, want := range map[string]string{"4XyZ1": "4XyZ1", "": "''", "a b": "'a b'", "$(x)": "'$(x)'", "a'b": `'a'\''b'`, "-x": "'-x'", "\n": "'?'"} {
		if got := ShellWord(in); got != want {
			t.Errorf("ShellWord(%q) = %s; want %s", in, got, want)
		}
	}
}

func TestAskTakesOnlyAYesForAYes(t *testing.T) {
	for in, want := range map[string]bool{"y\n": true, "YES\n": true, " yes": true, "\n": false, "n\n": false, "yep\n": false, "": false} {
		var out bytes.Buffer
		if got, err := ask(strings.NewReader(in), &out, "Delete?"); err != nil || got != want || out.String() != "Delete? [y/N] " {
			t.Errorf("ask(%q) = %v, %v, printing %q; want %v", in, got, err, out.String(), want)
		}
	}
}

// The null device is what cron and systemd give a command for its input.
func TestAskerIsNilWithoutATerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if Asker(null, &bytes.Buffer{}) != nil || IsTerminal(&bytes.Buffer{}) {
		t.Error("the null device or a buffer is a terminal")
	}
}

func TestNodePrintDrawsBranches(t *testing.T) {
	root := &Node{Text: "root"}
	root.Add("first %d", 1).Add("below")
	root.Add("last").Answer([]string{"a\x1b"}, false)
	root.children[1].Answer(nil, true)
	var b strings.Builder
	if err := root.Print(&b); err != nil {
		t.Fatal(err)
	}
	want := "root\n├─ first 1\n│  └─ below\n└─ last\n   ├─ \"a?\"\n   └─ no such name\n"
	if b.String() != want {
		t.Errorf("Print() wrote\n%s\nwant\n%s", b.String(), want)
	}
}

func TestAnswerIsBounded(t *testing.T) {
	root := &Node{}
	root.Answer(make([]string, maxAnswers+3), false)
	if n := len(root.children); n != maxAnswers+1 || root.children[maxAnswers].Text != "and 3 more" {
		t.Errorf("Answer() of %d records added %d lines; want %d, the last with the number left out", maxAnswers+3, n, maxAnswers+1)
	}
}

func TestTablePrintsTimesInUTCAndTextPrintable(t *testing.T) {
	at := time.Date(2026, 11, 30, 1, 2, 3, 0, time.FixedZone("", 3600))
	var b strings.Builder
	if err := Table(&b, "WHEN\tWHAT", []string{"a\tb"}, func(s string) []any { return []any{at, s} }); err != nil {
		t.Fatal(err)
	}
	if want := "WHEN                 WHAT\n2026-11-30 00:02:03  a?b\n"; b.String() != want {
		t.Errorf("Table() wrote %q; want %q", b.String(), want)
	}
}

func TestZoneTextIsReadAsItWasMeant(t *testing.T) {
	long := "v=DMARC1; p=none; rua=" + strings.Repeat("mailto:aaaaaaaa@bbbbbbbbbbbbbbbb.example,", 9) + "mailto:c@d.example"
	for _, text := range []string{"", "v=spf1 -all", `a "quoted" \ text; with ( ) @ $`, "\x00\x07\x7f\xff", long} {
		for _, line := range []string{ZoneTXT("x.example", text), "x.example. IN TXT " + TXTLines(text)} {
			zone, err := dnstest.Parse(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if got, err := zone.TXT(t.Context(), "x.example"); len(got) != 1 || got[0] != text {
				t.Errorf("a zone with %s has %q, %v; want %q", line, got, err, text)
			}
		}
	}
}
