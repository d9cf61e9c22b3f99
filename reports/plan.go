package reports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/report"
	"dmarcgate/report/consent"
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
	p := &planning{PlanOptions: o, store: store, day: o.Day.orYesterday(), now: time.Now(), known: map[string]time.Time{}}
	p.checker = consent.Checker{DNS: dns, Suffixes: in.Suffixes}
	if in.Suffixes != nil {
		p.checker.Method = dmarc.PSL
	}
	return p.run(ctx, out, warn, cfg)
}

func (p *planning) run(ctx context.Context, out, warn io.Writer, cfg *config.Config) error {
	if err := p.begin(ctx, warn, cfg); err != nil {
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
	store      site.Store
	checker    consent.Checker
	day        time.Time
	gate       gate.Gate
	now        time.Time
	suppressed []gate.Suppression
	begun      bool // mail was sent before, so that hosts count as known
	known      map[string]time.Time
	list       []*candidate
}

// begin reads the configuration and the queue, and tells which gates are closed for all.
func (p *planning) begin(ctx context.Context, warn io.Writer, cfg *config.Config) error {
	p.gate = site.ReportsOf(cfg, cfg.Reports.KeyFile).Gate
	q, err := openToRead(ctx, cfg)
	if err == nil {
		err = errors.Join(p.read(ctx, q), q.Close())
	}
	switch {
	case errors.Is(err, errNoQueue):
		p.gate.Enabled = p.now // as if sending were switched on now
	case err != nil:
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
	return nil
}

func orPlace(value, place string) string {
	if value == "" {
		return place
	}
	return value
}

// read reads what the queue knows.
func (p *planning) read(ctx context.Context, q queue.Store) error {
	now, err := q.Now(ctx)
	if err != nil {
		return err
	}
	p.now = now
	paused, err := q.Note(ctx, queue.NotePaused)
	if err != nil {
		return err
	}
	p.gate.Paused = paused != ""
	if text, err := q.Note(ctx, queue.NoteEnabled); err == nil {
		p.gate.Enabled, _ = time.Parse(time.RFC3339, text) // zero is a closed gate
	}
	counts, err := q.Counts(ctx)
	if err != nil {
		return err
	}
	p.begun = counts.Deliveries[queue.Sent] > 0
	all, err := q.Suppressing(ctx)
	for _, x := range all {
		if x.Active(p.now) {
			p.suppressed = append(p.suppressed, gate.Suppression{Key: gate.Key{Kind: gate.Kind(x.Kind), What: x.What}, Until: x.Until})
		}
	}
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

// candidate collects the facts of a report.
func (p *planning) candidate(ctx context.Context, r *report.Report) (*candidate, error) {
	first, asked := p.known[r.Org]
	var err error
	if !asked && r.Org != "" {
		first, err = p.store.KnownSince(ctx, r.Org)
		p.known[r.Org] = first
	}
	return &candidate{messages: r.Messages, facts: gate.Report{
		PolicyDomain: r.PolicyDomain, Org: r.Org, FirstSeen: first, Passed: r.Passed > 0, Ordinary: r.Messages - r.Optional, Suppressions: p.suppressed,
	}}, err
}

const (
	planLookups    = 8                // policy domains that are looked up at once
	planLookupTime = 10 * time.Second // for one of them, with its destinations
)

// lookUp finds the destinations of reports that no gate keeps back.
func (p *planning) lookUp(ctx context.Context) error {
	slices.SortStableFunc(p.list, func(a, b *candidate) int { return a.facts.Compare(b.facts) })
	done := 0
	for part := range slices.Chunk(p.list, planLookups) {
		var wg sync.WaitGroup
		for _, c := range part {
			if why := p.closed(c); why != "" {
				c.add(planned{Why: why})
				continue
			}
			wg.Go(func() { p.destinations(ctx, c) })
		}
		wg.Wait()
		done += len(part)
		p.Progress.Count(done, len(p.list), "report")
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// closed returns what keeps a report back, or "".
func (p *planning) closed(c *candidate) string {
	if c.invalid != "" {
		return whyInvalid
	}
	return string(p.gate.Report(c.facts, p.now))
}

func (c *candidate) add(l planned) {
	l.Domain, l.Messages = term.Printable(c.facts.PolicyDomain), c.messages
	c.lines = append(c.lines, l)
}

// destinations looks the record of a report up as it is now, and asks for consent.
func (p *planning) destinations(ctx context.Context, c *candidate) {
	ctx, cancel := context.WithTimeout(ctx, planLookupTime)
	defer cancel()
	found, _ := p.checker.Find(ctx, p.checker.Method, c.facts.PolicyDomain)
	if found.Err != nil {
		c.add(planned{Why: string(gate.ConsentUnknown)})
		return
	}
	list, _ := p.checker.Check(ctx, found)
	to := gate.Destinations(list)
	if found.PolicyDomain != c.facts.PolicyDomain || len(to) == 0 {
		c.add(planned{Why: whyNoRUA})
		return
	}
	for _, d := range to {
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
				Held: gate.Held{Read: true, Suppressions: p.suppressed, HostKnown: !isNew, NewHosts: newHosts, ToHost: toHost[host], Today: today},
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
