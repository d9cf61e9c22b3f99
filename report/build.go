package report

import (
	"context"
	"errors"
	"slices"
	"sort"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/scope"
)

// Scan calls f for each row of a span, in any order, and ends with f's error: the method
// Scan of results.Queries. It must give the same rows whenever it is called.
type Scan func(ctx context.Context, span results.Span, f func(results.Row) error) error

// Builder makes reports of rows. Its methods may be called at the same time.
type Builder struct {
	Identity  Identity
	Generator string // name and version of the program
	Dir       string // for temporary files; "" is that of the system

	// Memory is how many bytes of groups are kept before they are written to a temporary
	// file; 0 is DefaultMemory.
	Memory int
	// EnvelopeTo has records name the domain of the recipients, where there is one.
	// It tells the owner of a domain to whom mail is forwarded.
	EnvelopeTo bool
	// Optional tells which messages are report traffic, for which alone no report is due.
	// nil means none.
	Optional func(*results.Row) bool
	// Discovery tells by which method records were found under a shape (results.Row.Shape),
	// treewalk or psl, or "" when it is not known. nil means that it is never known.
	Discovery func(shape string) string
}

// Counts says what became of the rows of a period. The unit up to NoAuthor is a row, from
// there on an author domain of a row. Each row is in one of Outside, Unanswered, Skipped
// and NoAuthor, or each of its author domains is in one of the counts from NoRecord on.
type Counts struct {
	Rows       int64 // read
	Outside    int64 // of another time than the period
	Unanswered int64 // deferred, not answered, or of another program: the MTA has no final answer of ours
	Skipped    int64 // not evaluated: mail of our own users and networks
	NoAuthor   int64 // the From field gave nothing to evaluate

	NoRecord int64 // no record, or not known for a failure of DNS
	Unusable int64 // the record can neither be applied nor reported to (permerror)

	Unreported   int64 // kept out of reports by a rule
	Unreportable int64 // a fact that reports need is missing or was shortened, such as the address of the client
	Reported     int64 // in a report: the sum of Report.Messages

	DroppedSignatures int64 // left out of records of Reported: without selector or domain, or beyond MaxSignatures
}

// Usable is how many author domains of answered, evaluated rows have a usable record: the
// sum of Unreported, Unreportable and Reported.
func (c Counts) Usable() int64 { return c.Unreported + c.Unreportable + c.Reported }

// Part asks for reports that were too large to be made again, for parts of their period.
type Part struct {
	PolicyDomain, PolicyHash string
	Periods                  []Period // in order; they do not overlap
}

// Build reads the rows of a period once and calls f for each report, without Form and ID
// (see Report.In), by policy domain. It ends with f's error.
func (b *Builder) Build(ctx context.Context, scan Scan, p Period, f func(*Report) error) (Counts, error) {
	w := b.work([]Period{p})
	err := w.run(ctx, scan, f)
	return w.counts, err
}

// BuildParts reads rows again and calls f for the reports of parts, of which each is for
// another report, as Build does. A period without messages has no report.
func (b *Builder) BuildParts(ctx context.Context, scan Scan, parts []Part, f func(*Report) error) error {
	var all []Period
	w := b.work(nil)
	w.parts = make(map[partKey]*partPeriods)
	for i := range parts {
		k := partKey{parts[i].PolicyDomain, parts[i].PolicyHash}
		w.parts[k] = &partPeriods{first: len(all), list: parts[i].Periods}
		all = append(all, parts[i].Periods...)
	}
	if len(all) == 0 {
		return nil
	}
	w.periods = all
	return w.run(ctx, scan, f)
}

// partKey is which report a part is of.
type partKey struct{ domain, hash string }

// partPeriods are the periods of a part, and the number of the first.
type partPeriods struct {
	first int
	list  []Period
}

// work is one pass over rows.
type work struct {
	*Builder
	counts   Counts
	periods  []Period // by number
	parts    map[partKey]*partPeriods
	policies policies
	maker    maker
	current  results.Row
	shape    string // that was asked for last
	method   string // the answer
	asked    bool
	groups   *sorter
	key      []byte
}

func (b *Builder) work(periods []Period) *work {
	return &work{Builder: b, periods: periods, maker: maker{envelopeTo: b.EnvelopeTo}}
}

// run reads the rows, then makes the reports.
func (w *work) run(ctx context.Context, scan Scan, f func(*Report) error) (err error) {
	memory := w.Memory
	if memory <= 0 {
		memory = DefaultMemory
	}
	w.groups = newSorter(w.Dir, memory*3/4)
	ordered := newSorter(w.Dir, memory/4)
	defer func() { err = errors.Join(err, w.groups.close(), ordered.close()) }()
	if err := scan(ctx, w.span(), func(r results.Row) error {
		w.current = r // not r itself, which would be allocated anew each time
		return w.row(&w.current)
	}); err != nil {
		return err
	}
	return (&output{work: w, ctx: ctx, ordered: ordered, give: f}).run()
}

// span is from the first to the last period. Stores have times in milliseconds, and may
// read a span in whole ones.
func (w *work) span() results.Span {
	span := results.Span{From: w.periods[0].Begin, To: w.periods[0].End}
	for _, p := range w.periods {
		if p.Begin.Before(span.From) {
			span.From = p.Begin
		}
		if p.End.After(span.To) {
			span.To = p.End
		}
	}
	return span
}

// row counts a row.
func (w *work) row(r *results.Row) error {
	w.counts.Rows++
	switch {
	case w.parts == nil && !w.periods[0].Contains(r.Facts.Time):
		w.counts.Outside++
	case r.State != results.Answered:
		w.counts.Unanswered++
	case r.Facts.Skip != policy.Evaluated:
		w.counts.Skipped++
	case len(r.Facts.Authors) == 0:
		w.counts.NoAuthor++
	default:
		for i := range r.Facts.Authors {
			if err := w.author(r, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// author counts an author domain of a row.
func (w *work) author(r *results.Row, i int) error {
	a := &r.Facts.Authors[i]
	switch {
	case a.Verdict.Status == dmarc.PermError:
		w.counts.Unusable++
		return nil
	case a.PolicyDomain == "" || a.Verdict.Status == dmarc.StatusNone:
		w.counts.NoRecord++
		return nil
	case r.Decision.Unreported != "":
		w.counts.Unreported++
		return nil
	}
	p := w.policies.of(a.Record, w.discovery(r.Shape))
	if !p.ok || !usableName(a.PolicyDomain) || !w.maker.make(r, i) {
		w.counts.Unreportable++
		return nil
	}
	number, wanted := w.period(partKey{a.PolicyDomain, p.hash}, r.Facts.Time)
	if !wanted {
		return nil
	}
	w.counts.Reported++
	w.counts.DroppedSignatures += int64(w.maker.dropped)
	return w.add(r, a, &group{a.PolicyDomain, p.packed, number}, p.noP)
}

// discovery is Builder.Discovery, which is asked when the shape is not that of the row before.
func (w *work) discovery(shape string) string {
	if w.Discovery != nil && (!w.asked || w.shape != shape) {
		w.shape, w.method, w.asked = shape, w.Discovery(shape), true
	}
	return w.method
}

// period returns the number of the period of a message, and whether its report is asked
// for.
func (w *work) period(k partKey, t time.Time) (uint32, bool) {
	if w.parts == nil {
		return 0, true
	}
	part := w.parts[k]
	if part == nil {
		return 0, false
	}
	i := sort.Search(len(part.list), func(i int) bool { return t.Before(part.list[i].End) })
	return uint32(part.first + i), i < len(part.list) && part.list[i].Contains(t)
}

// add puts a message into its group.
func (w *work) add(r *results.Row, a *policy.Author, g *group, noP bool) error {
	w.key = g.appendTo(w.key[:0])
	n := len(w.key)
	note := func(text ...byte) error {
		w.key = append(append(w.key[:n], tagNote), text...)
		return w.groups.add(w.key, 1)
	}
	for _, name := range a.Defects {
		if !defectNames[name] || noP && name == dmarc.MissingP.String() { // no defect there (RFC 9989, Section 4.7)
			continue
		}
		if err := note(append([]byte{noteDefect}, name...)...); err != nil {
			return err
		}
	}
	if a.Org != a.PolicyDomain && scope.AtOrBelow(a.PolicyDomain, a.Org) && usableName(a.Org) {
		if err := note(append([]byte{noteOrg}, a.Org...)...); err != nil {
			return err
		}
	}
	if w.Optional != nil && w.Optional(r) {
		if err := note(noteOptional); err != nil {
			return err
		}
		if passed(&w.maker.record) {
			if err := note(notePassed); err != nil {
				return err
			}
		}
	}
	w.key = appendRecord(append(w.key[:n], tagRecord), &w.maker.record)
	return w.groups.add(w.key, 1)
}

// passed reports whether the messages of a record were accepted with an aligned pass.
func passed(r *Record) bool {
	return (r.DKIM || r.SPF) && (r.Disposition == None || r.Disposition == Pass)
}

// defectNames are the short names that have words.
var defectNames = func() map[string]bool {
	names := make(map[string]bool)
	for _, kind := range dmarc.DefectKinds() {
		names[kind.String()] = true
	}
	return names
}()

// Defects returns the words of Report.Errors for short names of defects, in the order of
// package dmarc: the name and the fix, as the command lookup prints them. Remarks and
// names that are not known have none.
func Defects(names []string) []string {
	var list []string
	for _, kind := range dmarc.DefectKinds() {
		if slices.Contains(names, kind.String()) {
			list = append(list, kind.String()+": "+dmarc.Defect{Kind: kind}.Fix())
		}
	}
	return list
}
