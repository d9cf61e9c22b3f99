package reports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"dmarcgate/config"
	"dmarcgate/report/consent"
	"dmarcgate/report/gate"
	"dmarcgate/report/mail"
	"dmarcgate/report/queue"
	"dmarcgate/report/verp"
	"dmarcgate/term"
)

// ShowOptions are those of Show. At most one of XML and Mail is set.
type ShowOptions struct {
	ID       string
	XML      bool   // the document
	Mail     bool   // the mail to To
	To       string // address; "" is the first one
	Attempts bool
	JSON     bool
}

// Show shows a report of the queue: how far it is, its deliveries with the replies of
// servers, and its document. The mail is made again; warn is told its envelope, and why
// it has no signature.
func Show(ctx context.Context, out, warn io.Writer, cfg *config.Config, o ShowOptions) error {
	q, err := openToRead(ctx, cfg)
	if err != nil {
		return err
	}
	defer q.Close()
	found, err := q.Find(ctx, queue.Filter{ID: strings.ToLower(o.ID), Limit: 1})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("no report has the ID %q: dmarcgate reports list shows them", term.Printable(o.ID))
	}
	s := showing{ShowOptions: o, out: out, q: q, report: found[0]}
	switch {
	case o.XML:
		body, err := s.body(ctx)
		if err != nil {
			return err
		}
		return writeXML(out, body)
	case o.Mail:
		return s.mail(ctx, warn, cfg)
	}
	return s.all(ctx)
}

// showing is one call of Show.
type showing struct {
	ShowOptions
	out    io.Writer
	q      queue.Store
	report queue.Report
}

// body returns the document, or says why there is none.
func (s *showing) body(ctx context.Context) ([]byte, error) {
	b, err := s.q.ReadBody(ctx, s.report.ID)
	switch {
	case errors.Is(err, queue.ErrUnknown):
		return nil, fmt.Errorf("the report has no document: its state is %q", s.report.State)
	case err != nil:
		return nil, err
	}
	return b.Gzip, nil
}

// shown is a report as JSON has it.
type shown struct {
	summary
	Document *document `json:"document,omitempty"` // nil before it is made, and after it was deleted
}

func (s *showing) all(ctx context.Context) error {
	all := shown{summary: newSummary(s.report)}
	if s.Attempts {
		if err := s.tried(ctx, &all.summary); err != nil {
			return err
		}
	}
	if s.report.Size > 0 {
		body, err := s.body(ctx)
		if err == nil {
			all.Document, err = readDocument(body)
		}
		if err != nil {
			return err
		}
	}
	if s.JSON {
		return json.NewEncoder(s.out).Encode(all)
	}
	if err := all.tree().Print(s.out); err != nil || all.Document == nil {
		return err
	}
	fmt.Fprintln(s.out)
	return all.Document.print(s.out)
}

// tried adds the attempts to their deliveries.
func (s *showing) tried(ctx context.Context, to *summary) error {
	list, err := s.q.Attempts(ctx, s.report.ID)
	for _, t := range list {
		for i, d := range s.report.Deliveries {
			if d.ID == t.Delivery {
				a := attempt{N: t.N, At: t.At, Owner: term.Printable(t.Owner), Server: term.Printable(t.Host), Outcome: term.Printable(t.Outcome)}
				to.Deliveries[i].Tried = append(to.Deliveries[i].Tried, a)
			}
		}
	}
	return err
}

func (s summary) tree() *term.Node {
	root := &term.Node{Text: "report " + s.ID + ": " + withWhy(s.State, s.Why)}
	root.Add("about %s, %s, %s, form %s", s.PolicyDomain, period(s.Begin, s.End), term.Count(int(s.Messages), "message"), s.Form)
	root.Add("planned %s", term.Stamp(s.Created))
	if s.Bytes > 0 {
		root.Add("document of %d bytes, SHA-256 %s", s.Bytes, s.SHA256)
	}
	for _, d := range s.Deliveries {
		d.hang(root)
	}
	if len(s.Deliveries) == 0 {
		root.Add("no destination is known")
	}
	return root
}

func withWhy(state, why string) string {
	if why == "" {
		return state
	}
	return state + " (" + why + ")"
}

// hang adds a delivery to a tree.
func (d delivery) hang(root *term.Node) {
	n := root.Add("to %s: %s", d.To, withWhy(d.State, d.Why))
	if d.URI != "" {
		n.Add("published as %s, consent: %s", d.URI, term.OrNone(d.Via))
	}
	if d.Attempts > 0 {
		n.Add("%s, the first %s", term.Count(d.Attempts, "attempt"), term.Stamp(d.FirstTry))
	}
	if !d.NextTry.IsZero() {
		n.Add("next attempt not before %s", term.Stamp(d.NextTry))
	}
	if d.Code != 0 || d.Reply != "" {
		n.Add("last reply: %s", strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", d.Code, d.Enhanced, d.Reply)), " "))
	}
	if d.QueueID != "" {
		n.Add("queue id at the next server: %s", d.QueueID)
	}
	if d.Suspected > 0 {
		n.Add("%s may have left twice, because a host died while it sent", term.Count(d.Suspected, "mail"))
	}
	for _, a := range d.Tried {
		n.Add("attempt %d, %s, by %s, server %s: %s", a.N, term.Stamp(a.At), a.Owner, term.OrNone(a.Server), a.word())
	}
}

func (a attempt) word() string {
	if a.Outcome == "" {
		return "goes on"
	}
	return a.Outcome
}

// mail prints the mail to one destination, as it left or would leave.
func (s *showing) mail(ctx context.Context, warn io.Writer, cfg *config.Config) error {
	d, err := s.delivery()
	if err != nil {
		return err
	}
	body, err := s.body(ctx)
	if err != nil {
		return err
	}
	date := d.FirstTry
	if date.IsZero() {
		if date, err = s.q.Now(ctx); err != nil {
			return err
		}
	}
	id := reporter(cfg)
	tellPlaceholders(warn, cfg)
	text, err := mail.Message{
		Organization: id.Organization, From: id.Email, To: address(d), Submitter: id.Submitter, PolicyDomain: s.report.PolicyDomain,
		Begin: s.report.Begin, End: s.report.End, ID: s.report.ID, Body: body, Date: date,
	}.Text(keys(warn, cfg)...)
	if err != nil {
		return err
	}
	from := "(the daemon has not made one yet)"
	if d.VERP != "" {
		from = "<" + verp.Address(d.VERP, cfg.Reports.BounceDomain) + ">"
	}
	fmt.Fprintf(warn, "dmarcgate: envelope: MAIL FROM %s, RCPT TO <%s>\n", term.Printable(from), term.Printable(address(d)))
	_, err = s.out.Write(text)
	return err
}

// delivery is the one that is meant.
func (s *showing) delivery() (queue.Delivery, error) {
	for _, d := range s.report.Deliveries {
		if s.To == "" || d.Key == strings.ToLower(s.To) {
			return d, nil
		}
	}
	if s.To == "" {
		return queue.Delivery{}, errors.New("no destination of the report is known")
	}
	return queue.Delivery{}, fmt.Errorf("the report does not go to %q", term.Printable(s.To))
}

// address is where a delivery goes, in the case that was published.
func address(d queue.Delivery) string {
	host := d.Key[strings.LastIndexByte(d.Key, '@')+1:]
	to := gate.Destinations([]consent.Destination{{Tag: "rua", URI: d.URI, Host: host, Consent: consent.Granted}})
	if len(to) == 1 && to[0].Key == d.Key {
		return to[0].Address
	}
	return d.Key
}

// keys returns the key that signs mails. Without it the mail is shown unsigned.
func keys(warn io.Writer, cfg *config.Config) []*mail.Key {
	r := cfg.Reports
	_, domain, _ := strings.Cut(r.Email, "@")
	if r.KeyFile == "" {
		fmt.Fprintln(warn, "dmarcgate: [reports] has no key_file: the mail is shown without a signature")
		return nil
	}
	key, err := mail.LoadKey(r.KeyFile, domain, r.Selector)
	if err != nil {
		fmt.Fprintf(warn, "dmarcgate: %s: the mail is shown without a signature\n", term.ErrorText(err))
		return nil
	}
	return []*mail.Key{key}
}
