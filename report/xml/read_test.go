package xml_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/reporttest"
	"dmarcgate/internal/scale"
	"dmarcgate/report"
	reportxml "dmarcgate/report/xml"
)

// Each file of testdata/read says what it proves, what is read, and the document.
func TestReadCases(t *testing.T) {
	paths, err := filepath.Glob("testdata/read/*.txt")
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d cases, %v; want at least 30", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			what, rest, _ := strings.Cut(string(text), "\n-- want --\n")
			want, doc, ok := strings.Cut(rest, "\n-- document --\n")
			if !ok || len(what) < 10 {
				t.Fatal("the case needs a first line, a section want and a section document")
			}
			got := ""
			r, records, err := read(t, []byte(strings.TrimSuffix(doc, "\n")))
			if err != nil {
				_, text, _ := strings.Cut(err.Error(), ": ") // behind the line
				got = "error " + text
			} else {
				got = summary(r, records)
			}
			if got != want {
				t.Errorf("read\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// summary is a document in the words of the cases.
func summary(r *report.Report, records []report.Record) string {
	var b strings.Builder
	p := r.Published
	fmt.Fprintf(&b, "%s %s %s id %s p=%s sp=%s", r.Form, r.PolicyDomain, r.Period, r.ID, p.P, p.SP)
	if p.NP != dmarc.None {
		fmt.Fprintf(&b, " np=%s", p.NP)
	}
	if p.Discovery != "" {
		fmt.Fprintf(&b, " discovery=%s", p.Discovery)
	}
	if p.Testing {
		b.WriteString(" testing")
	}
	for _, e := range r.Errors {
		fmt.Fprintf(&b, " error %q", e)
	}
	for i := range records {
		rec := &records[i]
		fmt.Fprintf(&b, "\n%s %d %s dkim=%s spf=%s from=%s", rec.Source, rec.Count, rec.Disposition, passFail(rec.DKIM), passFail(rec.SPF), rec.HeaderFrom)
		if rec.NullPath {
			b.WriteString(" null")
		}
		for _, f := range [...][2]string{{"envelope_from", rec.EnvelopeFrom}, {"envelope_to", rec.EnvelopeTo}} {
			if f[1] != "" {
				fmt.Fprintf(&b, " %s=%s", f[0], f[1])
			}
		}
		for _, reason := range rec.Reasons {
			fmt.Fprintf(&b, " reason %s %q", reason.Type, reason.Comment)
		}
		for _, s := range rec.Signatures {
			fmt.Fprintf(&b, " dkim %s/%s=%s", s.Domain, s.Selector, s.Result)
		}
		if rec.Checked.Domain != "" {
			fmt.Fprintf(&b, " spf %s=%s", rec.Checked.Domain, rec.Checked.Result)
		}
	}
	return b.String()
}

func passFail(pass bool) string {
	if pass {
		return "pass"
	}
	return "fail"
}

// endless gives a text again and again, between a beginning and an end that never comes.
type endless struct {
	first, again string
	at           int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.at < len(e.first) {
		n := copy(p, e.first[e.at:])
		e.at += n
		return n, nil
	}
	at := (e.at - len(e.first)) % len(e.again)
	n := copy(p, e.again[at:])
	e.at += n
	return n, nil
}

// What is endless ends, in little memory and little time.
func TestReadStopsAtItsLimits(t *testing.T) {
	all, _ := documents(t, newMaker(t), wide(1))
	head, rest, _ := strings.Cut(string(all[0].text), " <record>")
	record := "<record>" + rest[:strings.Index(rest, "</feedback>")]
	most := int64(2 << 20)
	if scale.Of(t) > 1 {
		most = reportxml.MaxExpanded
	}
	short := `<record><row><source_ip>::1</source_ip><count>1</count></row><identifiers><header_from>a</header_from></identifiers></record>`
	for _, tt := range []struct{ name, first, again string }{
		{"records", head, short},
		{"bytes of records", head, record + "<!--" + strings.Repeat(" ", 4000) + "-->"},
		{"blanks", head, "  \n"},
		{"blanks in front", "", " "},
		{"a text", head + "<record><row><count>", "1"},
		{"a tag", head + "<", "a"},
		{"attributes", head + "<record", " a='b'"},
		{"a comment", head + "<!-- ", "a"},
		{"depth", head, "<a>"},
		{"character data", head + "<record><![CDATA[", "a"},
		{"reasons", head + "<record><row><policy_evaluated>", "<reason><type>other</type></reason>"},
		{"signatures", head + "<record><auth_results>", "<dkim><domain>a.example</domain></dkim>"},
		{"errors", "<feedback><report_metadata>", "<error>e</error>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			_, err := reportxml.ReadAtMost(&endless{first: tt.first, again: tt.again}, most, func(*report.Record) error { return nil })
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 24<<20 {
				t.Errorf("the heap has grown by %d bytes", grown)
			}
			if !errors.Is(err, reportxml.ErrLimit) {
				t.Errorf("Read = %v; want %v", err, reportxml.ErrLimit)
			}
		})
	}
}

func TestReadEndsWithTheErrorOfTheCallerOrReader(t *testing.T) {
	boom := errors.New("boom")
	if _, err := reportxml.Read(bytes.NewReader(many(t, 3)), func(*report.Record) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("Read with a caller that fails = %v; want %v", err, boom)
	}
	broken := io.MultiReader(strings.NewReader("<feedback>"), errReader{boom})
	if _, err := reportxml.Read(broken, nil); !errors.Is(err, boom) {
		t.Errorf("Read of a reader that fails = %v; want %v", err, boom)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// FuzzRead compares what is read with what is written of it and read again.
func FuzzRead(f *testing.F) {
	paths, err := filepath.Glob("testdata/read/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		_, doc, _ := strings.Cut(string(text), "\n-- document --\n")
		f.Add([]byte(doc))
	}
	all, _ := documents(f, newMaker(f), reporttest.Rows(1, 100))
	for _, d := range all {
		f.Add(d.text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, records, err := read(t, text)
		if err != nil {
			if r != nil {
				t.Errorf("Read = %+v, %v; want no report with an error", r, err)
			}
			return
		}
		messages := int64(0)
		for _, rec := range records {
			if messages += rec.Count; rec.Count < 1 || !rec.Source.IsValid() || rec.HeaderFrom == "" {
				t.Errorf("read a record %+v", rec)
			}
		}
		if messages != r.Messages || int64(len(records)) != r.Rows || !r.Period.End.After(r.Period.Begin) {
			t.Errorf("read %+v with %d records of %d messages", r, len(records), messages)
		}
		r.Identity.Submitter, r.Identity.Organization, r.Identity.Email, r.Identity.Contact = "receiver.example", "x", "x@x.example", ""
		r.ID, r.Generator = strings.Repeat("0", 32), ""
		r.Records = func(yield func(*report.Record, error) bool) {
			for i := range records {
				if !yield(&records[i], nil) {
					return
				}
			}
		}
		var out bytes.Buffer
		if err := reportxml.Write(&out, r); errors.Is(err, reportxml.ErrInvalid) {
			return // of another program, with what we do not write
		} else if err != nil {
			t.Fatal(err)
		}
		if again, more, err := read(t, out.Bytes()); err != nil || again.Messages != r.Messages || len(more) != len(records) {
			t.Errorf("written and read again: %+v, %v\n%s", again, err, &out)
		}
	})
}

// BenchmarkTokens is the floor of BenchmarkRead: encoding/xml reads every token.
func BenchmarkTokens(b *testing.B) {
	text := many(b, 20_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		for d := xml.NewDecoder(bytes.NewReader(text)); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
