package reports

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"time"

	"dmarcgate/report"
	"dmarcgate/report/xml"
	"dmarcgate/term"
)

// document is a report as text and JSON show it. Its texts are printable.
type document struct {
	ID           string    `json:"id"`
	PolicyDomain string    `json:"policy_domain"`
	Begin        time.Time `json:"begin"`
	End          time.Time `json:"end"` // not included
	Form         string    `json:"form"`
	FileName     string    `json:"file_name"`
	Published    published `json:"policy_published"`
	Errors       []string  `json:"errors,omitempty"` // defects of the record
	Messages     int64     `json:"messages"`
	Records      []record  `json:"records"`
}

// published is the policy that the owner of the domain has published.
type published struct {
	P         string `json:"p"`
	SP        string `json:"sp"`
	NP        string `json:"np"`
	ADKIM     string `json:"adkim"`
	ASPF      string `json:"aspf"`
	FO        string `json:"fo,omitempty"`
	Testing   bool   `json:"testing,omitempty"`
	Pct       uint8  `json:"pct"`
	Discovery string `json:"discovery,omitempty"`
}

// record is a line of a document: messages with the same results.
type record struct {
	Client       string   `json:"client"`
	Messages     int64    `json:"messages"`
	Disposition  string   `json:"disposition"`
	DKIM         bool     `json:"dkim_aligned"`
	SPF          bool     `json:"spf_aligned"`
	Author       string   `json:"author"`
	MailFrom     string   `json:"mail_from"` // "" is the null path
	SPFDomain    string   `json:"spf_domain,omitempty"`
	SPFResult    string   `json:"spf_result,omitempty"`
	Signatures   []string `json:"signatures,omitempty"` // "domain/selector result"
	Reasons      []string `json:"reasons,omitempty"`
	RecipientsOf string   `json:"recipient_domain,omitempty"`
}

// readDocument reads a compressed document.
func readDocument(gz []byte) (*document, error) {
	zip, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		return nil, fmt.Errorf("the document cannot be expanded: %w", err)
	}
	d := &document{Records: []record{}}
	r, err := xml.Read(zip, func(r *report.Record) error {
		d.Records = append(d.Records, newRecord(r))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the document cannot be read: %w", err)
	}
	p := r.Published
	d.ID, d.PolicyDomain, d.Form, d.Messages = term.Printable(r.ID), term.Printable(r.PolicyDomain), string(r.Form), r.Messages
	d.Begin, d.End = r.Period.Begin, r.Period.End
	d.Published = published{
		P: p.P.String(), SP: p.SP.String(), NP: p.NP.String(), ADKIM: p.ADKIM.String(), ASPF: p.ASPF.String(), FO: term.Printable(fmt.Sprint(p.FO)),
		Testing: p.Testing, Pct: p.Pct, Discovery: p.Discovery,
	}
	for _, e := range r.Errors {
		d.Errors = append(d.Errors, term.Printable(e))
	}
	return d, nil
}

func newRecord(r *report.Record) record {
	out := record{
		Client: r.Source.String(), Messages: r.Count, Disposition: string(r.Disposition), DKIM: r.DKIM, SPF: r.SPF,
		Author: term.Printable(r.HeaderFrom), MailFrom: term.Printable(r.EnvelopeFrom), RecipientsOf: term.Printable(r.EnvelopeTo),
		SPFDomain: term.Printable(r.Checked.Domain), SPFResult: term.Printable(r.Checked.Result),
	}
	for _, s := range r.Signatures {
		out.Signatures = append(out.Signatures, term.Printable(s.Domain+"/"+s.Selector+" "+s.Result))
	}
	for _, reason := range r.Reasons {
		text := reason.Type
		if reason.Comment != "" {
			text += ": " + reason.Comment
		}
		out.Reasons = append(out.Reasons, term.Printable(text))
	}
	return out
}

// writeXML prints a compressed document as it is sent, expanded.
func writeXML(out io.Writer, gz []byte) error {
	zip, err := gzip.NewReader(bytes.NewReader(gz))
	if err == nil {
		_, err = io.Copy(out, io.LimitReader(zip, xml.MaxExpanded))
	}
	if err != nil {
		return fmt.Errorf("printing the document: %w", err)
	}
	return nil
}

// maxRecords is how many records a table shows: our limit, some screens. JSON and XML
// have all of them.
const maxRecords = 100

// print shows a document in words: what it is about, then a table of its records.
func (d *document) print(out io.Writer) error {
	root := &term.Node{Text: fmt.Sprintf("report about %s, %s, %s in %s", d.PolicyDomain, period(d.Begin, d.End),
		term.Count(int(d.Messages), "message"), term.Count(len(d.Records), "record"))}
	root.Add("Report-ID %s, form %s", d.ID, d.Form)
	if d.FileName != "" {
		root.Add("file %s", d.FileName)
	}
	root.Add("published policy: %s", d.Published)
	for _, e := range d.Errors {
		root.Add("defect of the record: %s", e)
	}
	if err := root.Print(out); err != nil {
		return err
	}
	shown := d.Records[:min(len(d.Records), maxRecords)]
	if err := term.Table(out, "CLIENT\tMESSAGES\tDISPOSITION\tDKIM\tSPF\tAUTHOR\tMAIL FROM\tREASON", shown, record.cells); err != nil {
		return err
	}
	if more := len(d.Records) - len(shown); more > 0 {
		_, err := fmt.Fprintf(out, "and %s more: --json or --xml shows all\n", term.Count(more, "record"))
		return err
	}
	return nil
}

func (r record) cells() []any {
	mailFrom := r.MailFrom
	if mailFrom == "" {
		mailFrom = "<>"
	}
	return []any{r.Client, r.Messages, r.Disposition, aligned(r.DKIM), aligned(r.SPF), r.Author, mailFrom, orDash(strings.Join(r.Reasons, "; "))}
}

// orDash is a cell of a table, "-" for an empty one: none is a word of the field.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// aligned is the result of a mechanism as DMARC counts it.
func aligned(pass bool) string {
	if pass {
		return "pass"
	}
	return "fail"
}

// String is the policy in the tags of a record.
func (p published) String() string {
	text := fmt.Sprintf("p=%s sp=%s np=%s adkim=%s aspf=%s", p.P, p.SP, p.NP, p.ADKIM, p.ASPF)
	if p.Pct != 0 && p.Pct != 100 {
		text += fmt.Sprintf(" pct=%d", p.Pct)
	}
	if p.Testing {
		text += " t=y"
	}
	if p.Discovery != "" {
		text += ", found by " + p.Discovery
	}
	return text
}

// period is a span of time in words: a day by its date alone.
func period(begin, end time.Time) string {
	if report.DayOf(begin) == (report.Period{Begin: begin, End: end}) {
		return begin.Format(time.DateOnly)
	}
	return term.Stamp(begin) + " to " + term.Stamp(end)
}
