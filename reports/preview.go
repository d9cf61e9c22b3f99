package reports

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dmarcgate/config"
	"dmarcgate/report"
	"dmarcgate/report/xml"
	"dmarcgate/results"
	"dmarcgate/scope"
	"dmarcgate/site"
	"dmarcgate/site/shape"
	"dmarcgate/term"
)

// PreviewOptions are those of Preview.
type PreviewOptions struct {
	Domain    Domain // policy domain
	Day       Day    // zero is yesterday
	AllHosts  bool   // read PostgreSQL
	Form      string // rfc9990 or rfc7489
	Generator string // name and version of the program
	XML, JSON bool
	Progress  *term.Progress // nil shows none
}

// Preview prints the report of a domain as it would be made from the stored messages
// of a day. It asks neither whether the report would be sent nor any network.
func Preview(ctx context.Context, out, warn io.Writer, cfg *config.Config, o PreviewOptions) error {
	store, err := site.OpenStore(ctx, warn, cfg, o.AllHosts)
	if err != nil {
		return err
	}
	defer store.Close()
	day := o.Day.orYesterday()
	p := previewing{PreviewOptions: o, out: out, domain: string(o.Domain), made: preview{Domain: string(o.Domain), Day: day.Format(time.DateOnly), Reports: []*document{}}}
	identity := reporter(cfg)
	tellPlaceholders(warn, cfg)
	limits := site.ReportsOf(cfg, "")
	maker := &xml.Maker{
		Builder: builder(identity, o.Generator), Limits: xml.Limits{Mail: limits.MaxMail, Expanded: limits.MaxXML},
		Forms: p.forms,
	}
	made, err := maker.Make(ctx, p.scan(store), report.DayOf(day), p.document)
	o.Progress.Clear()
	if err != nil {
		return err
	}
	if len(p.made.Reports) == 0 && len(p.made.Refused) == 0 {
		return p.nothing(made.Counts)
	}
	return p.end(made)
}

// preview is what is printed as JSON.
type preview struct {
	Domain  string      `json:"policy_domain"`
	Day     string      `json:"day"`
	Reports []*document `json:"reports"`
	Refused []string    `json:"refused,omitempty"` // why a report cannot be written
	LeftOut []leftOut   `json:"left_out,omitempty"`
}

// leftOut is how many messages of the domain are in no report.
type leftOut struct {
	Why      string `json:"why"`
	Messages int64  `json:"messages"`
}

// previewing is one call of Preview.
type previewing struct {
	PreviewOptions
	out    io.Writer
	domain string
	made   preview
	near   []string // policy domains of the day at, above or below domain
	read   int
}

// maxNear is how many other policy domains are named when a domain has no messages.
const maxNear = 10

// scan gives those rows that have an author under the policy domain.
func (p *previewing) scan(store site.Store) report.Scan {
	return func(ctx context.Context, span results.Span, f func(results.Row) error) error {
		return store.Scan(ctx, span, func(r results.Row) error {
			p.read++
			p.Progress.Count(p.read, 0, "result")
			meant := false
			for i := range r.Facts.Authors {
				domain := r.Facts.Authors[i].PolicyDomain
				meant = meant || domain == p.domain
				p.note(domain)
			}
			if !meant {
				return nil
			}
			return f(r)
		})
	}
}

// note remembers the name of a domain that may be meant instead.
func (p *previewing) note(domain string) {
	if (scope.AtOrBelow(domain, p.domain) || scope.AtOrBelow(p.domain, domain)) && len(p.near) < maxNear && !slices.Contains(p.near, domain) {
		p.near = append(p.near, domain)
	}
}

func (p *previewing) forms(r *report.Report) []report.Form {
	if r.PolicyDomain != p.domain {
		return nil // a message may have several authors
	}
	return []report.Form{report.Form(p.Form)}
}

// document takes one document: XML is printed at once.
func (p *previewing) document(d xml.Document) error {
	if d.Err != nil {
		p.made.Refused = append(p.made.Refused, term.Printable(d.Err.Error()))
		return nil
	}
	if p.XML {
		p.Progress.Clear()
		p.made.Reports = append(p.made.Reports, nil) // counted
		return writeXML(p.out, d.Body)
	}
	doc, err := readDocument(bytes.Clone(d.Body))
	if err != nil {
		return err
	}
	doc.FileName = d.Report.FileName()
	p.made.Reports = append(p.made.Reports, doc)
	return nil
}

// nothing says why a domain has no report.
func (p *previewing) nothing(c report.Counts) error {
	if left := p.left(c); len(left) > 0 {
		return fmt.Errorf("no report about %s for %s: its messages are left out: %s", p.domain, p.made.Day, leftWords(left))
	}
	err := fmt.Errorf("no stored message of %s has its DMARC record at %s", p.made.Day, p.domain)
	if near := slices.DeleteFunc(p.near, func(d string) bool { return d == p.domain }); len(near) > 0 {
		slices.Sort(near)
		err = fmt.Errorf("%w; there are messages with a record at %s", err, term.Printable(strings.Join(near, ", ")))
	}
	return err
}

// left is what became of messages that are in no report.
func (p *previewing) left(c report.Counts) (left []leftOut) {
	for _, l := range []leftOut{
		{"unanswered", c.Unanswered}, {"skipped", c.Skipped}, {"unusable_record", c.Unusable}, {"unreported", c.Unreported}, {"unreportable", c.Unreportable},
	} {
		if l.Messages > 0 {
			left = append(left, l)
		}
	}
	return left
}

func (p *previewing) end(made xml.Made) error {
	p.made.LeftOut = p.left(made.Counts)
	switch {
	case p.JSON:
		if err := json.NewEncoder(p.out).Encode(p.made); err != nil {
			return err
		}
	case !p.XML:
		for i, d := range p.made.Reports {
			if i > 0 {
				fmt.Fprintln(p.out)
			}
			if err := d.print(p.out); err != nil {
				return err
			}
		}
		if len(p.made.LeftOut) > 0 {
			fmt.Fprintf(p.out, "left out: %s\n", leftWords(p.made.LeftOut))
		}
	}
	if len(p.made.Refused) > 0 {
		return fmt.Errorf("%s cannot be written: %s", term.Count(len(p.made.Refused), "report"), p.made.Refused[0])
	}
	return nil
}

// leftTexts are the causes in words.
var leftTexts = map[string]string{
	"unanswered": "without a final answer", "skipped": "not evaluated", "unusable_record": "with a record that cannot be used",
	"unreported": "kept out of reports by a rule", "unreportable": "without a fact that reports need, such as the client's address",
}

func leftWords(left []leftOut) string {
	words := make([]string, len(left))
	for i, l := range left {
		words[i] = term.Count(int(l.Messages), "message") + " " + leftTexts[l.Why]
	}
	return strings.Join(words, ", ")
}

// What stands for keys of [reports] that are not set. The names cannot exist (RFC 2606).
const (
	placeName      = "(organization not set)"
	placeEmail     = "not-set@reports.invalid"
	placeSubmitter = "reports.invalid"
)

// reporter is who reports, by the configuration, with placeholders.
func reporter(cfg *config.Config) report.Identity {
	r := cfg.Reports
	id := report.Identity{Organization: r.Organization, Email: r.Email, Contact: r.Contact, Submitter: r.Submitter}
	for _, v := range []struct {
		key   *string
		place string
	}{{&id.Organization, placeName}, {&id.Email, placeEmail}, {&id.Submitter, placeSubmitter}} {
		if *v.key == "" {
			*v.key = v.place
		}
	}
	return id
}

// tellPlaceholders says which keys are not set.
func tellPlaceholders(warn io.Writer, cfg *config.Config) {
	var missing []string
	for _, v := range []struct{ key, value string }{
		{"organization", cfg.Reports.Organization}, {"email", cfg.Reports.Email}, {"submitter", cfg.Reports.Submitter},
	} {
		if v.value == "" {
			missing = append(missing, v.key)
		}
	}
	if len(missing) > 0 {
		fmt.Fprintf(warn, "dmarcgate: [reports] has no %s: the report shows placeholders\n", strings.Join(missing, ", "))
	}
}

// builder makes reports as the daemon does.
func builder(id report.Identity, generator string) *report.Builder {
	return &report.Builder{
		Identity: id, Generator: generator, Discovery: shape.Discovery,
		Optional: func(r *results.Row) bool { return !r.Facts.Ordinary() },
	}
}
