package xml_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/reporttest"
	"dmarcgate/internal/scale"
	"dmarcgate/report"
	reportxml "dmarcgate/report/xml"
)

var update = flag.Bool("update", false, "write testdata/written")

// sample is a report that has every field of both forms.
func sample(form report.Form) *report.Report {
	r := &report.Report{
		Identity: reporttest.Identity, Generator: "dmarcgate 1.0", PolicyDomain: "bank.example", Period: reporttest.Day, PolicyHash: "0123456789abcdef",
		Published: report.Published{P: dmarc.Reject, SP: dmarc.Quarantine, NP: dmarc.None, ADKIM: dmarc.Strict, FO: dmarc.ReportAnyFailed | dmarc.ReportDKIMFailed, Testing: true, Pct: 50, Discovery: "psl"},
		Errors:    report.Defects([]string{"bad_sp", "bad_uri"}), Messages: 12, Rows: 3,
	}
	records := []report.Record{
		{
			Source: netip.MustParseAddr("192.0.2.1"), Count: 9, Disposition: report.Pass, DKIM: true, SPF: true, HeaderFrom: "mail.bank.example", EnvelopeFrom: "bank.example", EnvelopeTo: "receiver.example",
			Signatures: []report.Signature{{Domain: "bank.example", Selector: "s1", Result: "pass"}, {Domain: "esp.example", Selector: "s2", Result: "permerror", Human: "syntax of p= & <x>"}},
			Checked:    report.SPF{Domain: "bank.example", Result: "pass"},
		},
		{
			Source: netip.MustParseAddr("2001:db8::1"), Count: 2, Disposition: report.None, HeaderFrom: "bank.example", NullPath: true,
			Reasons: []report.Reason{{Type: "policy_test_mode", Comment: "t=y"}, {Type: "sampled_out", Comment: "pct=50"}, {Type: "forwarded"}, {Type: "trusted_forwarder", Comment: "a \"known\" one"}},
			Checked: report.SPF{Domain: "mx.example", Result: "policy", Human: "local"},
		},
		{Source: netip.MustParseAddr("192.0.2.3"), Count: 1, Disposition: report.Reject, HeaderFrom: "bank.example"},
	}
	r.Records = func(yield func(*report.Record, error) bool) {
		for i := range records {
			if !yield(&records[i], nil) {
				return
			}
		}
	}
	return r.In(form)
}

func TestWriteWritesEveryField(t *testing.T) {
	for _, form := range []report.Form{report.RFC9990, report.RFC7489} {
		var got bytes.Buffer
		if err := reportxml.Write(&got, sample(form)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata/written", string(form)+".xml")
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || got.String() != string(want) {
			t.Errorf("%s, %v: the document is\n%s\nwant\n%s", path, err, &got, want)
		}
	}
}

// read is a document that was read, with its records.
func read(t *testing.T, text []byte) (*report.Report, []report.Record, error) {
	t.Helper()
	var records []report.Record
	got, err := reportxml.Read(bytes.NewReader(text), func(r *report.Record) error {
		c := *r
		c.Reasons, c.Signatures = slices.Clone(r.Reasons), slices.Clone(r.Signatures)
		records = append(records, c)
		return nil
	})
	return got, records, err
}

// What was written is read again, as far as the form has it.
func TestReadReadsWhatWasWritten(t *testing.T) {
	all, _ := documents(t, newMaker(t), reporttest.Rows(41, 3000*scale.Of(t)))
	for _, d := range all {
		got, records, err := read(t, d.text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", d.FileName(), err, d.text)
		}
		if want := asRead(d.Report); !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: read\n%+v\nwant\n%+v", d.Form, *got, want)
		}
		again := *got
		again.Identity.Submitter = d.Identity.Submitter
		again.Records = func(yield func(*report.Record, error) bool) {
			for i := range records {
				if !yield(&records[i], nil) {
					return
				}
			}
		}
		if d.Form == report.RFC9990 {
			again.Errors = d.Errors
		}
		var text bytes.Buffer
		if err := reportxml.Write(&text, &again); err != nil || text.String() != string(d.text) {
			got, want := differing(text.String(), string(d.text))
			t.Errorf("%s: written again, %v, a line is %q; want %q", d.Form, err, got, want)
		}
	}
}

// differing returns the first lines that differ.
func differing(a, b string) (string, string) {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return as[i], bs[i]
		}
	}
	return fmt.Sprint(len(as), " lines"), fmt.Sprint(len(bs), " lines")
}

// asRead is what a document of the report says.
func asRead(r report.Report) report.Report {
	r.Org, r.Identity.Submitter, r.PolicyHash, r.Optional, r.Passed, r.Records = "", "", "", 0, 0, nil
	if r.Form == report.RFC7489 {
		r.Generator, r.Published.NP, r.Published.Testing, r.Published.Discovery = "", dmarc.None, false, ""
	} else {
		r.Published.Pct = 100
		if len(r.Errors) > 0 {
			r.Errors = []string{strings.Join(r.Errors, ". ")}
		}
	}
	if len(r.Errors) == 0 {
		r.Errors = nil
	}
	return r
}

// A report that breaks an invariant is not written, whoever made it.
func TestWriteRefusesWhatMustNotLeave(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct {
		name   string
		change func(*report.Report, *report.Record)
	}{
		{"no organization", func(r *report.Report, _ *report.Record) { r.Identity.Organization = " " }},
		{"long organization", func(r *report.Report, _ *report.Record) { r.Identity.Organization = long }},
		{"no email", func(r *report.Report, _ *report.Record) { r.Identity.Email = "" }},
		{"email that is none", func(r *report.Report, _ *report.Record) { r.Identity.Email = "receiver.example" }},
		{"long contact", func(r *report.Report, _ *report.Record) { r.Identity.Contact = long }},
		{"no submitter", func(r *report.Report, _ *report.Record) { r.Identity.Submitter = "" }},
		{"submitter of one label", func(r *report.Report, _ *report.Record) { r.Identity.Submitter = "localhost" }},
		{"no ID", func(r *report.Report, _ *report.Record) { r.ID = "" }},
		{"ID with a hyphen", func(r *report.Report, _ *report.Record) { r.ID = "0123456789-123456789012345678901" }},
		{"no form", func(r *report.Report, _ *report.Record) { r.Form = "" }},
		{"no policy domain", func(r *report.Report, _ *report.Record) { r.PolicyDomain = "" }},
		{"policy domain with !", func(r *report.Report, _ *report.Record) { r.PolicyDomain = "a!b.example" }},
		{"empty period", func(r *report.Report, _ *report.Record) { r.Period.End = r.Period.Begin }},
		{"fraction of a second", func(r *report.Report, _ *report.Record) { r.Period.End = r.Period.End.Add(1) }},
		{"pct above 100", func(r *report.Report, _ *report.Record) { r.Published.Pct = 101 }},
		{"policy that is none", func(r *report.Report, _ *report.Record) { r.Published.SP = 3 }},
		{"discovery that is none", func(r *report.Report, _ *report.Record) { r.Published.Discovery = "guess" }},
		{"empty fo", func(r *report.Report, _ *report.Record) { r.Published.FO = 0 }},
		{"long generator", func(r *report.Report, _ *report.Record) { r.Generator = long }},
		{"no records", func(r *report.Report, _ *report.Record) {
			r.Records = func(func(*report.Record, error) bool) {}
		}},
		{"count 0", func(_ *report.Report, r *report.Record) { r.Count = 0 }},
		{"no address", func(_ *report.Report, r *report.Record) { r.Source = netip.Addr{} }},
		{"address with a zone", func(_ *report.Report, r *report.Record) { r.Source = netip.MustParseAddr("fe80::1%eth0") }},
		{"IPv4 in IPv6", func(_ *report.Report, r *report.Record) { r.Source = netip.MustParseAddr("::ffff:192.0.2.1") }},
		{"disposition that is none", func(_ *report.Report, r *report.Record) { r.Disposition = "softfail" }},
		{"no header_from", func(_ *report.Report, r *report.Record) { r.HeaderFrom = "" }},
		{"header_from with a dot in front", func(_ *report.Report, r *report.Record) { r.HeaderFrom = ".example" }},
		{"null path with a domain", func(_ *report.Report, r *report.Record) { r.NullPath = true }},
		{"envelope_from that is no domain", func(_ *report.Report, r *report.Record) { r.EnvelopeFrom = "a..b" }},
		{"envelope_to that is no domain", func(_ *report.Report, r *report.Record) { r.EnvelopeTo = "A.example" }},
		{"signature without selector", func(_ *report.Report, r *report.Record) { r.Signatures[0].Selector = "" }},
		{"signature without domain", func(_ *report.Report, r *report.Record) { r.Signatures[0].Domain = "" }},
		{"signature without result", func(_ *report.Report, r *report.Record) { r.Signatures[0].Result = "" }},
		{"too many signatures", func(_ *report.Report, r *report.Record) { r.Signatures = slices.Repeat(r.Signatures, 101) }},
		{"SPF without domain", func(_ *report.Report, r *report.Record) { r.Checked.Domain = "" }},
		{"SPF with another result", func(_ *report.Report, r *report.Record) { r.Checked.Result = "hardfail" }},
		{"reason that is none", func(_ *report.Report, r *report.Record) { r.Reasons = []report.Reason{{Type: "because"}} }},
	} {
		for _, form := range []report.Form{report.RFC9990, report.RFC7489} {
			r := sample(form)
			rec := report.Record{
				Source: reporttest.Client, Count: 1, Disposition: report.None, HeaderFrom: "bank.example", EnvelopeFrom: "bank.example",
				Signatures: []report.Signature{{Domain: "bank.example", Selector: "s", Result: "pass"}}, Checked: report.SPF{Domain: "bank.example", Result: "pass"},
			}
			r.Records = func(yield func(*report.Record, error) bool) { yield(&rec, nil) }
			if err := reportxml.Write(io.Discard, r); err != nil {
				t.Fatal(err)
			}
			tt.change(r, &rec)
			if err := reportxml.Write(io.Discard, r); !errors.Is(err, reportxml.ErrInvalid) {
				t.Errorf("%s, %s: Write = %v; want %v", tt.name, form, err, reportxml.ErrInvalid)
			}
		}
	}
}

func TestWriteEndsWithTheErrorOfItsRecordsOrWriter(t *testing.T) {
	boom := errors.New("boom")
	r := sample(report.RFC9990)
	r.Records = func(yield func(*report.Record, error) bool) { yield(nil, boom) }
	if err := reportxml.Write(io.Discard, r); !errors.Is(err, boom) {
		t.Errorf("Write of records that fail = %v; want %v", err, boom)
	}
	if err := reportxml.Write(failing{boom}, sample(report.RFC9990)); !errors.Is(err, boom) {
		t.Errorf("Write to a writer that fails = %v; want %v", err, boom)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Writing a record costs little beside reading its rows.
func BenchmarkWrite(b *testing.B) {
	rec := report.Record{
		Source: reporttest.Client, Count: 1, Disposition: report.Pass, DKIM: true, HeaderFrom: "mail.bank.example", EnvelopeFrom: "bounce.bank.example",
		Signatures: []report.Signature{{Domain: "bank.example", Selector: "s1", Result: "pass"}, {Domain: "esp.example", Selector: "s2", Result: "fail", Human: "body hash did not verify"}}, Checked: report.SPF{Domain: "bounce.bank.example", Result: "pass"},
	}
	for _, form := range []report.Form{report.RFC9990, report.RFC7489} {
		b.Run(string(form), func(b *testing.B) {
			b.ReportAllocs()
			r := sample(form)
			r.Records = func(yield func(*report.Record, error) bool) {
				for range b.N {
					if !yield(&rec, nil) {
						return
					}
				}
			}
			if err := reportxml.Write(io.Discard, r); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRead is beside encoding/xml alone: see BenchmarkTokens.
func BenchmarkRead(b *testing.B) {
	text := many(b, 20_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := reportxml.Read(bytes.NewReader(text), func(*report.Record) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// many is a document of n records.
func many(b testing.TB, n int) []byte {
	b.Helper()
	var text bytes.Buffer
	r := sample(report.RFC9990)
	one := r.Records
	r.Records = func(yield func(*report.Record, error) bool) {
		for range n / 3 {
			for rec, err := range one {
				if !yield(rec, err) {
					return
				}
			}
		}
	}
	if err := reportxml.Write(&text, r); err != nil {
		b.Fatal(err)
	}
	return text.Bytes()
}

func ExampleWrite() {
	err := reportxml.Write(io.Discard, &report.Report{Form: report.RFC9990})
	fmt.Println(err)
	// Output: report is not valid: the organization is empty or too long
}
