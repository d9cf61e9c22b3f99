package reports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"dmarcgate/config"
	"dmarcgate/report"
	"dmarcgate/report/due"
	"dmarcgate/report/gate"
	"dmarcgate/report/queue"
	"dmarcgate/report/xml"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// PlanOptions are those of Plan.
type PlanOptions struct {
	Day       Day    // zero is yesterday
	AllHosts  bool   // read the rows in PostgreSQL
	Generator string // name and version of the program
	JSON      bool
	Progress  *term.Progress // nil shows none
}

// planned is what would become of a report to one destination, or of a report without
// one.
type planned struct {
	Domain   string `json:"policy_domain"`
	Messages int64  `json:"messages"`
	To       string `json:"to,omitempty"`
	Consent  string `json:"consent,omitempty"`
	Why      string `json:"why,omitempty"` // that keeps the mail back; absent: the mail would be sent

	destination gate.Destination
}

// The words of Why that are no gate.
const (
	whyNoRUA   = "no_rua"  // the domain wants no reports now
	whyInvalid = "invalid" // the document breaks an invariant, and is never sent
)

// candidate is a report that may be due.
type candidate struct {
	facts    gate.Report
	why      gate.Why // that is closed
	messages int64
	invalid  string // why there is no document
	lines    []planned
}

// Plan shows what would become of the reports of a day, by the gates, and by what the
// DNS says now about records and consent. Nothing is sent and nothing is stored. Gates
// that are closed for all reports are told, and are taken for open, so that the rest can
// be seen. It ends with an error when a document breaks an invariant.
func Plan(ctx context.Context, out, warn io.Writer, cfg *config.Config, o PlanOptions) error {
	in, err := site.With(cfg, site.SuffixPart)
	if err != nil {
		return err
	}
	dns, err := site.NewResolver(cfg, nil)
	if err != nil {
		return err
	}
	defer dns.Close()
	store, err := site.OpenStore(ctx, warn, cfg, o.AllHosts)
	if err != nil {
		return err
	}
	defer store.Close()
	p := &planning{PlanOptions: o, store: store, records: due.NewDNS(dns, in.Suffixes), day: o.Day.orYesterday(), now: time.Now()}
	q, err := openToRead(ctx, cfg)
	switch {
	case err == nil:
		defer q.Close()
	case errors.Is(err, errNoQueue):
		q = nil
	default:
		return err
	}
	return p.run(ctx, out, warn, cfg, q)
}

// run makes the plan; q is nil when there is no queue.
func (p *planning) run(ctx context.Context, out, warn io.Writer, cfg *config.Config, q queue.Store) error {
	if err := p.begin(ctx, warn, cfg, q); err != nil {
		return err
	}
	if err := p.documents(ctx, warn, cfg); err != nil {
		return err
	}
	if err := p.lookUp(ctx); err != nil {
		return err
	}
	p.caps()
	p.Progress.Clear()
	return p.print(out)
}

// planning is one call of Plan.
type planning struct {
	PlanOptions
	store   site.Store
	records due.Records
	day     time.Time
	gate    gate.Gate
	now     time.Time
	facts   due.Facts
	begun   bool // mail was sent before, so that hosts count as known
	list    []*candidate
}

// begin reads the configuration and the queue, and tells which gates are closed for all.
func (p *planning) begin(ctx context.Context, warn io.Writer, cfg *config.Config, q queue.Store) error {
	p.gate = site.ReportsOf(cfg, cfg.Reports.KeyFile).Gate
	p.facts = due.Facts{KnownSince: p.store.KnownSince}
	if q == nil {
		p.gate.Enabled = p.now // as if sending were switched on now
	} else if err := p.read(ctx, q); err != nil {
		return err
	}
	p.tell(warn)
	// All that is closed for every report was told.
	id := reporter(cfg)
	p.gate.Send, p.gate.Paused = true, false
	p.gate.Identity = gate.Identity{
		Organization: id.Organization, Email: id.Email, Submitter: id.Submitter, BounceDomain: orPlace(cfg.Reports.BounceDomain, placeSubmitter),
		Selector: orPlace(cfg.Reports.Selector, "not-set"), Key: "not read", Smarthost: orPlace(cfg.Reports.Smarthost, "not-set"),
	}
	p.gate.Verified = gate.Verified{Identity: p.gate.Identity, At: p.now}
	p.gate.Enabled, p.gate.DryRun = p.now.Add(-time.Hour), 0
	p.facts.Gate, p.facts.Now = p.gate, p.now
	return nil
}

func orPlace(value, place string) string {
	if value == "" {
		return place
	}
	return value
}

// read reads what the queue knows.
func (p *planning) read(ctx context.Context, q queue.Store) (err error) {
	if p.now, err = q.Now(ctx); err != nil {
		return err
	}
	notes, err := queue.ReadNotes(ctx, q)
	if err != nil {
		return err
	}
	p.gate.Enabled, p.gate.Paused = notes.Enabled, notes.Paused != ""
	counts, err := q.Counts(ctx)
	if err != nil {
		return err
	}
	p.begun = counts.Deliveries[queue.Sent] > 0
	all, err := q.Suppressing(ctx)
	p.facts.Suppressions, p.facts.RecordSince = due.Active(all, p.now), q.RecordSince
	return err
}

// tell says which gates are closed for all reports. The identity check is the daemon's.
func (p *planning) tell(warn io.Writer) {
	var closed []gate.Why
	if !p.gate.Send {
		closed = append(closed, gate.SendingOff)
	}
	if len(p.gate.Identity.Missing()) > 0 {
		closed = append(closed, gate.SettingsMissing)
	}
	if p.gate.Paused {
		closed = append(closed, gate.Paused)
	}
	if p.gate.Dry(p.now) {
		closed = append(closed, gate.DryRun)
	}
	if len(closed) > 0 {
		fmt.Fprintf(warn, "dmarcgate: nothing leaves now: %v; the plan shows the rest as if these gates were open\n", closed)
	}
}

// documents makes the documents of the day, asks the gates about each report, and keeps
// no document.
func (p *planning) documents(ctx context.Context, warn io.Writer, cfg *config.Config) error {
	tellPlaceholders(warn, cfg)
	set := site.ReportsOf(cfg, "")
	byKey := map[string]*candidate{}
	var failed error
	maker := &xml.Maker{
		Builder: builder(reporter(cfg), p.Generator), Limits: xml.Limits{Mail: set.MaxMail, Expanded: set.MaxXML},
		Forms: func(r *report.Report) []report.Form {
			c, err := p.candidate(ctx, r)
			failed = errors.Join(failed, err)
			byKey[r.PolicyDomain+" "+r.PolicyHash] = c
			p.list = append(p.list, c)
			return []report.Form{report.Form(set.Schema(""))}
		},
	}
	read := 0
	scan := func(ctx context.Context, span results.Span, f func(results.Row) error) error {
		return p.store.Scan(ctx, span, func(r results.Row) error {
			read++
			p.Progress.Count(read, 0, "result")
			return f(r)
		})
	}
	_, err := maker.Make(ctx, scan, report.DayOf(p.day), func(d xml.Document) error {
		if c := byKey[d.Report.PolicyDomain+" "+d.Report.PolicyHash]; c != nil && d.Err != nil {
			c.invalid = term.Printable(d.Err.Error())
		}
		return failed
	})
	return errors.Join(err, failed)
}

// candidate asks the gates about a report.
func (p *planning) candidate(ctx context.Context, r *report.Report) (*candidate, error) {
	c := &candidate{messages: r.Messages}
	var err error
	c.facts, c.why, err = p.facts.Of(ctx, r)
	return c, err
}

// lookUp finds the destinations of reports that no gate keeps back.
func (p *planning) lookUp(ctx context.Context) error {
	slices.SortStableFunc(p.list, func(a, b *candidate) int { return a.facts.Compare(b.facts) })
	var open []*candidate
	var domains []string
	for _, c := range p.list {
		if why := c.closed(); why != "" {
			c.add(planned{Why: why})
			continue
		}
		open, domains = append(open, c), append(domains, c.facts.PolicyDomain)
	}
	wanted, err := due.AskAll(ctx, p.records, domains, func(done int) error {
		p.Progress.Count(done, len(domains), "report")
		return nil
	})
	for i, want := range wanted {
		open[i].destinations(want)
	}
	return err
}

// closed returns what keeps a report back, or "".
func (c *candidate) closed() string {
	if c.invalid != "" {
		return whyInvalid
	}
	return string(c.why)
}

func (c *candidate) add(l planned) {
	l.Domain, l.Messages = term.Printable(c.facts.PolicyDomain), c.messages
	c.lines = append(c.lines, l)
}

// destinations adds a line for each destination of a report.
func (c *candidate) destinations(want due.Wanted) {
	switch {
	case want.Unknown:
		c.add(planned{Why: string(gate.ConsentUnknown)})
	case len(want.To) == 0:
		c.add(planned{Why: whyNoRUA})
	}
	for _, d := range want.To {
		c.add(planned{To: term.Printable(orPlace(d.Address, d.URI)), Consent: string(d.Consent), destination: d})
	}
}

// caps asks the gates of each mail, in the order in which mails would leave: each takes a
// place of the caps of a day on which nothing else is sent. When mail has been sent
// before, hosts count as known.
func (p *planning) caps() {
	toHost := map[string]int64{}
	var today, newHosts int64
	for _, c := range p.list {
		for i := range c.lines {
			l := &c.lines[i]
			if l.Why != "" {
				continue
			}
			host := l.destination.Counted
			isNew := !p.begun && toHost[host] == 0
			l.Why = string(p.gate.Delivery(gate.Delivery{
				PolicyDomain: c.facts.PolicyDomain, Org: c.facts.Org, Destination: l.destination, Waiting: p.now,
				Held: gate.Held{Read: true, Suppressions: p.facts.Suppressions, HostKnown: !isNew, NewHosts: newHosts, ToHost: toHost[host], Today: today},
			}, p.now))
			if l.Why != "" {
				continue
			}
			toHost[host]++
			today++
			if isNew {
				newHosts++
			}
		}
	}
}

// plan is what is printed as JSON.
type plan struct {
	Day      string           `json:"day"`
	Reports  []planned        `json:"reports"`
	Mails    int64            `json:"mails"`     // that would be sent
	HeldBack map[string]int64 `json:"held_back"` // reports and mails that would not, by why
}

func (p *planning) print(out io.Writer) error {
	all := plan{Day: p.day.Format(time.DateOnly), Reports: []planned{}, HeldBack: map[string]int64{}}
	var invalid []string
	for _, c := range p.list {
		if c.invalid != "" {
			invalid = append(invalid, term.Printable(c.facts.PolicyDomain)+": "+c.invalid)
		}
		for _, l := range c.lines {
			if l.Why == "" {
				all.Mails++
			} else {
				all.HeldBack[l.Why]++
			}
			all.Reports = append(all.Reports, l)
		}
	}
	var err error
	if p.JSON {
		err = json.NewEncoder(out).Encode(all)
	} else {
		err = all.table(out)
	}
	if err == nil && len(invalid) > 0 {
		err = fmt.Errorf("%s cannot be written, the first about %s", term.Count(len(invalid), "report"), invalid[0])
	}
	return err
}

func (p plan) table(out io.Writer) error {
	if err := term.Table(out, "DOMAIN\tMESSAGES\tTO\tCONSENT\tOUTCOME", p.Reports, func(l planned) []any {
		why := l.Why
		if why == "" {
			why = "would be sent"
		}
		return []any{l.Domain, l.Messages, orDash(l.To), orDash(l.Consent), why}
	}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s: %s would be sent; held back: %s\n", p.Day, term.Count(int(p.Mails), "mail"), tally(p.HeldBack))
	return err
}
