package sending

import (
	"context"
	"errors"
	"time"

	"dmarcgate/report"
	"dmarcgate/report/queue"
	"dmarcgate/report/xml"
)

// Words of queue.Report.Why of reports that failed.
const (
	failedNoRows   = "no_rows"   // its messages were deleted, or the settings of [reports] have changed
	failedInvalid  = "invalid"   // the document breaks an invariant (package xml)
	failedTooLarge = "too_large" // the messages of one second exceed the limits
)

// render makes the documents of planned reports, and stores them.
func (t *turn) render(ctx context.Context) error {
	for {
		taken, err := t.store.Take(ctx, t.Owner, queue.Planned, maxPlanned)
		if err != nil || len(taken) == 0 {
			return err
		}
		days := map[time.Time][]queue.Report{}
		for _, r := range taken {
			day := report.DayOf(r.Begin).Begin
			days[day] = append(days[day], r)
		}
		for day, reports := range days {
			start := time.Now()
			if err := t.renderDay(ctx, report.DayOf(day), reports); err != nil {
				return err
			}
			t.Metrics.ReportRendered(time.Since(start))
		}
	}
}

// rendering is the work on the documents of a day.
type rendering struct {
	*turn
	day    report.Period
	wanted map[string]queue.Report   // by id
	parts  map[string][]queue.Report // of reports that are too large, by id
}

// policy is what documents of a day have in common besides their form.
type policy struct{ domain, hash string }

// renderDay reads the rows of a day again, and makes the documents of reports.
func (t *turn) renderDay(ctx context.Context, day report.Period, reports []queue.Report) error {
	runs, err := t.store.Runs(ctx, day.Begin, day.Begin)
	if err != nil {
		return err
	}
	var upto map[string]int64
	if len(runs) > 0 {
		upto = runs[0].Upto
	}
	w := &rendering{turn: t, day: day, wanted: map[string]queue.Report{}, parts: map[string][]queue.Report{}}
	forms := map[policy]map[report.Form]bool{}
	for _, r := range reports {
		w.wanted[r.ID] = r
		p := policy{r.PolicyDomain, r.PolicyHash}
		if forms[p] == nil {
			forms[p] = map[report.Form]bool{}
		}
		forms[p][report.Form(r.Form)] = true
	}
	maker := xml.Maker{Builder: t.builder(), Limits: t.set.Limits, Forms: func(r *report.Report) (list []report.Form) {
		for _, f := range []report.Form{report.RFC9990, report.RFC7489} {
			if forms[policy{r.PolicyDomain, r.PolicyHash}][f] {
				list = append(list, f)
			}
		}
		return list
	}}
	if _, err := maker.Make(ctx, t.scan(upto), day, func(d xml.Document) error { return w.document(ctx, d) }); err != nil {
		return err
	}
	return w.rest(ctx)
}

// document stores a document, or notes that it is for a part of the period.
func (w *rendering) document(ctx context.Context, d xml.Document) error {
	if err := w.renew(ctx); err != nil {
		return err
	}
	id := d.Report.ID
	if _, due := w.wanted[id]; !due {
		whole := report.ID(w.gate.Identity.Submitter, d.Report.PolicyDomain, w.day, d.Report.PolicyHash, d.Report.Form)
		if _, due := w.wanted[whole]; due && d.Err == nil {
			w.parts[whole] = append(w.parts[whole], part(d.Report))
		}
		return nil
	}
	delete(w.wanted, id)
	if d.Err != nil {
		why := failedInvalid
		if errors.Is(d.Err, xml.ErrTooLarge) {
			why = failedTooLarge
		}
		w.Log.Error("reports: no valid document could be made", "domain", d.Report.PolicyDomain, "err", d.Err)
		return w.end(ctx, id, why)
	}
	err := w.store.StoreBody(ctx, w.Owner, id, queue.Body{Gzip: d.Body, Records: d.Report.Rows})
	if err == nil {
		w.Metrics.ReportMade(int64(len(d.Body)))
		err = w.store.Release(ctx, w.Owner, id) // any host may deliver
	}
	_, err = lost(err)
	return err
}

func (w *rendering) end(ctx context.Context, id, why string) error {
	_, err := lost(w.store.End(ctx, w.Owner, id, queue.Failed, why))
	return err
}

// part is a report of a part of its day, as the queue has it.
func part(r *report.Report) queue.Report {
	return queue.Report{
		ID: r.ID, Kind: queue.Aggregate, PolicyDomain: r.PolicyDomain, Begin: r.Period.Begin, End: r.Period.End,
		PolicyHash: r.PolicyHash, Form: string(r.Form), Rows: r.Rows, Messages: r.Messages,
	}
}

// rest replaces reports that were too large by those of parts of the day, and ends those
// without a document.
func (w *rendering) rest(ctx context.Context) error {
	for id := range w.wanted {
		parts := w.parts[id]
		if len(parts) < 2 {
			why := failedNoRows
			if len(parts) == 1 {
				why = failedTooLarge
			}
			if err := w.end(ctx, id, why); err != nil {
				return err
			}
			continue
		}
		if err := w.split(ctx, id, parts); err != nil {
			return err
		}
	}
	return nil
}

// split replaces a report; its parts go to the same destinations.
func (w *rendering) split(ctx context.Context, id string, parts []queue.Report) error {
	found, err := w.store.Find(ctx, queue.Filter{ID: id})
	if err != nil || len(found) == 0 {
		return err
	}
	key, err := Key(ctx, w.store)
	if err != nil {
		return err
	}
	for i := range parts {
		for _, d := range found[0].Deliveries {
			parts[i].Deliveries = append(parts[i].Deliveries, queue.Delivery{
				Key: d.Key, URI: d.URI, Via: d.Via, Host: d.Host, NextTry: d.NextTry, VERP: key.Token(parts[i].ID+" "+d.Key, w.now),
			})
		}
	}
	_, err = lost(w.store.Split(ctx, w.Owner, id, parts))
	return err
}
