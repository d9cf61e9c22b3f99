package xml_test

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/reporttest"
	"dmarcgate/internal/scale"
	"dmarcgate/policy"
	"dmarcgate/report"
	reportxml "dmarcgate/report/xml"
	"dmarcgate/results"
)

// both asks for both forms.
func both(*report.Report) []report.Form { return []report.Form{report.RFC9990, report.RFC7489} }

// document is a document that was made.
type document struct {
	report.Report
	text     []byte // expanded
	zipped   []byte
	expanded int64
	sha256   string
}

// documents makes those of rows in the forms that are asked for.
func documents(t testing.TB, m *reportxml.Maker, rows []results.Row) ([]document, reportxml.Made) {
	t.Helper()
	var all []document
	made, err := m.Make(t.Context(), reporttest.Scan(rows), reporttest.Day, func(d reportxml.Document) error {
		if d.Err != nil {
			t.Errorf("no document of %s: %v", d.Report.PolicyDomain, d.Err)
			return nil
		}
		zip, err := gzip.NewReader(bytes.NewReader(d.Body))
		if err != nil {
			return err
		}
		text, err := io.ReadAll(zip)
		if int64(len(text)) != d.Expanded || zip.Name != "" || !zip.ModTime.IsZero() {
			t.Errorf("the document has %d bytes, the name %q and the time %v; want %d, none, none", len(text), zip.Name, zip.ModTime, d.Expanded)
		}
		all = append(all, document{*d.Report, text, bytes.Clone(d.Body), d.Expanded, d.SHA256})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, made
}

func newMaker(t testing.TB) *reportxml.Maker {
	t.Helper()
	return &reportxml.Maker{Builder: reporttest.Builder(t.TempDir()), Forms: both}
}

// What the schemas let pass never occurs (REPORTS.md, finding 3).
func TestInvariantsHoldForGeneratedMail(t *testing.T) {
	all, made := documents(t, newMaker(t), reporttest.Rows(11, 3000*scale.Of(t)))
	if len(all) < 50 || made.Reported == 0 {
		t.Fatalf("there are %d documents of %d messages; want some", len(all), made.Reported)
	}
	for _, d := range all {
		if err := invariants(d.text, &d.Report); err != nil {
			t.Errorf("%s, %s: %v", d.PolicyDomain, d.Form, err)
		}
	}
}

// mustMatch are the texts of elements, by the end of their path.
var mustMatch = []struct {
	path string
	text *regexp.Regexp
}{
	{"feedback/version", regexp.MustCompile(`^1\.0$`)},
	{"report_metadata/org_name", regexp.MustCompile(`.`)},
	{"report_metadata/email", regexp.MustCompile(`@`)},
	{"report_metadata/report_id", regexp.MustCompile(`^[0-9a-f]{32}$`)},
	{"date_range/begin", regexp.MustCompile(`^[0-9]+$`)},
	{"date_range/end", regexp.MustCompile(`^[0-9]+$`)},
	{"policy_published/domain", domainText},
	{"policy_published/p", regexp.MustCompile(`^(none|quarantine|reject)$`)},
	{"policy_published/sp", regexp.MustCompile(`^(none|quarantine|reject)$`)},
	{"row/count", regexp.MustCompile(`^[1-9][0-9]*$`)},
	{"policy_evaluated/disposition", regexp.MustCompile(`^(none|pass|quarantine|reject)$`)},
	{"policy_evaluated/dkim", regexp.MustCompile(`^(pass|fail)$`)},
	{"policy_evaluated/spf", regexp.MustCompile(`^(pass|fail)$`)},
	{"identifiers/header_from", domainText},
	{"identifiers/envelope_from", regexp.MustCompile(`^$|` + domainText.String())},
	{"identifiers/envelope_to", domainText},
	{"dkim/domain", domainText},
	{"dkim/selector", regexp.MustCompile(`^[A-Za-z0-9._-]+$`)},
	{"spf/domain", domainText},
	{"spf/scope", regexp.MustCompile(`^mfrom$`)},
}

var domainText = regexp.MustCompile(`^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$`)

// printable is what any text of a document may have.
var printable = regexp.MustCompile(`^[^\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}\x{fffe}\x{ffff}]*$`)

// invariants reads a document with nothing of ours and tests what must hold for each.
func invariants(text []byte, r *report.Report) error {
	var path []string
	records, messages, signatures, spf := 0, int64(0), 0, 0
	value := ""
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if space := token.Name.Space; (space == "urn:ietf:params:xml:ns:dmarc-2.0") != (r.Form == report.RFC9990) || space != "" && r.Form == report.RFC7489 {
				return fmt.Errorf("%s is in the namespace %q", token.Name.Local, space)
			}
			path, value = append(path, token.Name.Local), ""
		case xml.CharData:
			value += string(token)
		case xml.EndElement:
			name := strings.Join(path[max(0, len(path)-2):], "/")
			if err := leaf(name, value); err != nil {
				return err
			}
			switch name {
			case "feedback/record":
				if records++; signatures > report.MaxSignatures || spf > 1 || spf < 1 && r.Form == report.RFC7489 {
					return fmt.Errorf("a record has %d signatures and %d results of SPF", signatures, spf)
				}
				signatures, spf = 0, 0
			case "row/count":
				n, err := strconv.ParseInt(value, 10, 64)
				if err != nil {
					return err
				}
				messages += n
			case "auth_results/dkim":
				signatures++
			case "auth_results/spf":
				spf++
			}
			path, value = path[:len(path)-1], "" // what stands between elements is no text
		}
	}
	if records < 1 || int64(records) != r.Rows || messages != r.Messages {
		return fmt.Errorf("%d records of %d messages; the report says %d and %d", records, messages, r.Rows, r.Messages)
	}
	return nil
}

func leaf(name, value string) error {
	if strings.TrimSpace(value) != "" && !printable.MatchString(value) {
		return fmt.Errorf("%s is %q", name, value)
	}
	if name == "row/source_ip" {
		if a, err := netip.ParseAddr(value); err != nil || a.Zone() != "" || a.Is4In6() || a.String() != value {
			return fmt.Errorf("%s is %q", name, value)
		}
	}
	for _, m := range mustMatch {
		if m.path == name && !m.text.MatchString(value) {
			return fmt.Errorf("%s is %q", name, value)
		}
	}
	return nil
}

// The check must be able to fail.
func TestInvariantsCheckRefusesWhatSchemasLetPass(t *testing.T) {
	all, _ := documents(t, newMaker(t), []results.Row{message(reporttest.Day.Begin, "v=DMARC1; p=reject")})
	for _, m := range []struct{ old, changed string }{
		{"<version>1.0<", "<version>2.0<"}, {"<count>1<", "<count>0<"}, {"<source_ip>192.0.2.10<", "<source_ip>not an ip<"},
		{"<selector>s1<", "<selector><"}, {"<domain>bank.example<", "<domain><"}, {"<record>", "<record></record><record>"},
	} {
		for _, d := range all {
			changed := bytes.Replace(d.text, []byte(m.old), []byte(m.changed), -1)
			if bytes.Equal(changed, d.text) {
				t.Fatalf("there is no %s in %s", m.old, d.text)
			}
			if invariants(changed, &d.Report) == nil {
				t.Errorf("%s: %s is not noticed", d.Form, m.changed)
			}
		}
	}
}

// FuzzInvariants has a fuzzer write the facts of two messages: the documents must hold.
func FuzzInvariants(f *testing.F) {
	f.Add("bank.example", "v=DMARC1; p=reject", "s1", "pass", "because", []byte{192, 0, 2, 1}, uint8(1), uint8(2), "local_policy")
	for _, text := range reporttest.Hostile {
		f.Add(text, text, text, text, text, []byte(text), uint8(2), uint8(0), text)
	}
	f.Fuzz(func(t *testing.T, name, record, selector, result, why string, address []byte, status, disposition uint8, reason string) {
		client, _ := netip.AddrFromSlice(address)
		v := dmarc.Verdict{Status: dmarc.Status(status % 5), Policy: dmarc.Policy(status / 5 % 3), Pct: disposition, AlignedSPF: status == 1, AlignedDKIM: disposition == 1}
		r := results.Row{Facts: policy.Facts{
			Time: reporttest.Day.Begin, Client: client, MailFrom: name, NullPath: disposition > 100, FromField: policy.FromOneMailbox, Version: policy.FactsVersion, Recipients: []string{name},
			SPF:     policy.SPF{Result: result, Domain: name, Why: why, Term: selector},
			DKIM:    []policy.DKIM{{Result: result, Domain: name, Selector: selector, Why: why}, {Result: "fail", Domain: "bank.example", Selector: "s", Why: why}},
			ARC:     policy.ARC{Result: result, Sealers: []policy.Sealer{{Domain: name, Selector: selector}}},
			Authors: []policy.Author{{Domain: name, Org: name, PolicyDomain: name, Record: record, Verdict: v, Defects: []string{why}}, {Domain: "bank.example", PolicyDomain: "bank.example", Record: "v=DMARC1; p=reject", Verdict: dmarc.Verdict{Status: dmarc.Fail}}},
		}}
		r.Decision = policy.Decision{Disposition: policy.Disposition(disposition), Reason: policy.Reason(reason), Evidence: policy.Evidence(reason), ReportComment: why, Author: name}
		all, made := documents(t, newMaker(t), []results.Row{r})
		if sum := made.Usable() + made.NoRecord + made.Unusable; sum != 2 {
			t.Errorf("counts are %+v; want 2 author domains", made)
		}
		for _, d := range all {
			if err := invariants(d.text, &d.Report); err != nil {
				t.Errorf("%s: %v\n%s", d.Form, err, d.text)
			}
			if _, err := reportxml.Read(bytes.NewReader(d.text), func(*report.Record) error { return nil }); err != nil {
				t.Errorf("%s: Read = %v\n%s", d.Form, err, d.text)
			}
		}
	})
}
