package sending

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dmarcgate/report/consent"
	"dmarcgate/report/deliver"
	"dmarcgate/report/due"
	"dmarcgate/report/gate"
	"dmarcgate/report/mail"
	"dmarcgate/report/queue"
	"dmarcgate/report/verp"
)

// waits is how long a delivery waits for an answer of the DNS before it is asked again.
const waits = 30 * time.Minute

// whyGone is the why of what no record asks for any more.
const whyGone = "no_rua"

// errStop ends the deliveries of a turn: a gate is closed for all of them.
var errStop = errors.New("no mail may leave now")

// deliver sends what is due, one mail after the other, in one session with the smarthost.
func (t *turn) deliver(ctx context.Context) error {
	defer t.hangUp()
	for {
		taken, err := t.store.Take(ctx, t.Owner, queue.Ready, batch)
		if err != nil || len(taken) == 0 {
			return err
		}
		for i, r := range taken {
			err := errors.Join(ctx.Err(), t.renew(ctx))
			if err == nil {
				err = t.deliverReport(ctx, r)
			}
			if errors.Is(err, errStop) {
				return t.release(ctx, taken[i:])
			}
			if err != nil {
				return err
			}
		}
	}
}

// release gives reports back.
func (t *turn) release(ctx context.Context, reports []queue.Report) error {
	for _, r := range reports {
		if _, err := lost(t.store.Release(ctx, t.Owner, r.ID)); err != nil {
			return err
		}
	}
	return nil
}

// deliverReport sends the mails of a report that are due.
func (t *turn) deliverReport(ctx context.Context, r queue.Report) error {
	if why := t.gate.Closed(t.now); why != gate.Open {
		return errStop
	}
	want := due.Ask(ctx, t.Records, r.PolicyDomain)
	if len(r.Deliveries) == 0 {
		return t.address(ctx, r, want)
	}
	suppressed, err := t.suppressions(ctx)
	if err != nil {
		return err
	}
	body, err := t.store.ReadBody(ctx, r.ID)
	if errors.Is(err, queue.ErrGone) {
		_, err = lost(t.store.End(ctx, t.Owner, r.ID, queue.Failed, "document_deleted"))
		return err
	}
	if err != nil {
		return err
	}
	for _, d := range r.Deliveries {
		if d.State.Ended() || d.NextTry.After(t.now) {
			continue
		}
		one := &mailing{turn: t, report: r, delivery: d, want: want, suppressed: suppressed, body: body.Gzip}
		if lost, err := lost(one.run(ctx)); lost || err != nil {
			return err
		}
	}
	_, err = lost(t.store.Release(ctx, t.Owner, r.ID))
	return err
}

// address finds the destinations of a report that has none yet. Without an answer of the
// DNS the lease is kept, so that the report comes again when it is over.
func (t *turn) address(ctx context.Context, r queue.Report, want due.Wanted) error {
	if want.Unknown && t.now.Sub(r.Created) < gate.MaxConsentWait {
		return nil
	}
	key, err := Key(ctx, t.store)
	if err != nil {
		return err
	}
	var to []queue.Delivery
	for _, d := range want.To {
		if d.Key != "" && t.set.Schema(d.Host) == r.Form {
			to = append(to, t.delivery(r.ID, d, key, t.now))
		}
	}
	if len(to) > 0 {
		if _, err = lost(t.store.Address(ctx, t.Owner, r.ID, to)); err == nil {
			err = t.release(ctx, []queue.Report{r})
		}
		return err
	}
	why := whyGone
	if want.Unknown {
		why = string(gate.ConsentUnknown)
	}
	_, err = lost(t.store.End(ctx, t.Owner, r.ID, queue.Withdrawn, why))
	return err
}

// mailing is one mail that is due.
type mailing struct {
	*turn
	report     queue.Report
	delivery   queue.Delivery
	want       due.Wanted
	suppressed []gate.Suppression
	body       []byte
	to         string // address, as published when the report was planned
}

// run makes one attempt, if all gates are open.
func (m *mailing) run(ctx context.Context) error {
	to, found := m.destination()
	if !found {
		return m.over(ctx, queue.DeliveryGone, whyGone)
	}
	date := m.delivery.FirstTry
	if date.IsZero() {
		date = m.now
	}
	text, err := m.text(date)
	if err != nil {
		m.Log.Warn("reports: no mail can be made for a destination", "domain", m.report.PolicyDomain, "err", err)
		return m.over(ctx, queue.DeliveryHeld, string(gate.BadAddress))
	}
	if err := m.open(); err != nil {
		return err
	}
	a, err := m.fence.Begin(ctx, m.Owner, queue.Begin{Delivery: m.delivery.ID, Bytes: int64(len(text)), Allow: m.allow(to)})
	var limit *queue.LimitError
	switch {
	case errors.As(err, &limit):
		return m.closed(ctx, gate.Why(limit.Why))
	case err != nil:
		return err
	}
	if a.Again {
		m.Log.Warn("reports: a mail may leave a second time, because an attempt was interrupted", "domain", m.report.PolicyDomain, "report", m.report.ID)
	}
	var o deliver.Outcome
	if text, err = m.text(a.Date); err != nil {
		o = deliver.Outcome{Class: deliver.Retry, Phase: deliver.Connect, Text: err.Error()}
	} else {
		o = m.send(ctx, text)
	}
	return m.settle(ctx, a, o)
}

// destination returns where the mail goes, by what the DNS says now.
func (m *mailing) destination() (gate.Destination, bool) {
	d := m.delivery
	planned := gate.Destinations([]consent.Destination{{Tag: "rua", URI: d.URI, Host: hostOf(d.Key), Consent: consent.Unknown}})
	if len(planned) == 1 {
		m.to = planned[0].Address
	}
	i := slices.IndexFunc(m.want.To, func(to gate.Destination) bool { return to.Key == d.Key })
	switch {
	case i >= 0:
		return m.want.To[i], true
	case m.want.Unknown && len(planned) == 1:
		return planned[0], true
	}
	return gate.Destination{}, false
}

// hostOf returns the domain of a canonical address.
func hostOf(key string) string {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i] == '@' {
			return key[i+1:]
		}
	}
	return ""
}

// text is the mail with its date.
func (m *mailing) text(date time.Time) ([]byte, error) {
	id := m.gate.Identity
	return mail.Message{
		Organization: id.Organization, From: id.Email, To: m.to, Submitter: id.Submitter, PolicyDomain: m.report.PolicyDomain,
		Begin: m.report.Begin, End: m.report.End, ID: m.report.ID, Body: m.body, Date: date,
	}.Text(m.set.Keys...)
}

// open makes the sender, when one may be made at all.
func (m *mailing) open() (err error) {
	if m.sender == nil && m.gate.MaySend(m.now) {
		m.sender, err = m.set.Open()
	}
	return err
}

// allow asks the gates in the transaction that counts the mail.
func (m *mailing) allow(to gate.Destination) func(queue.Usage) string {
	return func(u queue.Usage) string {
		why := m.gate.Delivery(gate.Delivery{
			PolicyDomain: m.report.PolicyDomain, Org: m.want.Org, Destination: to, Waiting: m.report.Created,
			Held: gate.Held{
				Read: true, Suppressions: m.suppressed, HostKnown: !u.HostIsNew, NewHosts: u.NewHosts, ToHost: u.ToHost, Today: u.Total, LastMinute: u.LastMinute,
			},
		}, m.now)
		if why == gate.Open && m.sender == nil {
			why = gate.NotCounted // cannot happen: MaySend is part of Delivery
		}
		return string(why)
	}
}

// closed ends or defers a delivery that a gate keeps back.
func (m *mailing) closed(ctx context.Context, why gate.Why) error {
	switch why {
	case "not_due":
		return nil
	case gate.RateCap, gate.Paused, gate.Unverified, gate.NotCounted:
		return errStop
	case gate.ConsentUnknown:
		return m.store.EndDelivery(ctx, m.Owner, m.delivery.ID, queue.Outcome{State: queue.Due, Why: string(why), NextTry: m.now.Add(waits)})
	case gate.Suppressed:
		return m.over(ctx, queue.Suppressed, string(why))
	case gate.Unauthorized:
		return m.over(ctx, queue.Unauthorized, string(why))
	}
	return m.over(ctx, queue.DeliveryHeld, string(why))
}

// over ends the delivery. A report whose only delivery a gate holds back is held back
// itself, so that lists show its why.
func (m *mailing) over(ctx context.Context, state queue.DeliveryState, why string) error {
	m.Metrics.ReportDelivery(string(state), "")
	if state == queue.DeliveryHeld && len(m.report.Deliveries) == 1 && m.delivery.Attempts == 0 {
		if err := m.store.End(ctx, m.Owner, m.report.ID, queue.Withheld, why); err != nil {
			return err
		}
		return queue.ErrLost // it has ended
	}
	return m.store.EndDelivery(ctx, m.Owner, m.delivery.ID, queue.Outcome{State: state, Why: why})
}

// send hands the mail over.
func (m *mailing) send(ctx context.Context, text []byte) deliver.Outcome {
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	return m.sender.Send(ctx, verp.Address(m.delivery.VERP, m.gate.Identity.BounceDomain), m.to, text)
}

// settle writes what became of an attempt, also while the program stops. A queue that is
// away is waited for: what is not written in the end is sent a second time.
func (m *mailing) settle(ctx context.Context, a queue.Attempt, o deliver.Outcome) error {
	var step deliver.Step
	var out queue.Outcome
	draw, blameless := m.Draw(), m.streak.Add(m.delivery.Host, o)
	err := m.insist(ctx, func(ctx context.Context) error {
		if err := m.clock(ctx); err != nil {
			return err
		}
		first := a.Date
		if m.resumed.After(first) {
			first = m.resumed
		}
		step = deliver.Next(o, deliver.History{Attempts: a.N, First: first}, m.now, draw)
		out = outcome(o, step)
		if step.Strike && len(blameless) == 0 {
			out.Strike = &queue.Strike{Kind: queue.SuppressAddr, What: m.delivery.Key, Reason: o.Text, Source: queue.FromBounce}
		}
		return m.store.Settle(ctx, m.Owner, a, out)
	})
	if out.State != "" {
		m.Metrics.ReportDelivery(string(out.State), class(o))
	}
	if err != nil {
		return err
	}
	if out.Strike != nil {
		m.struck = append(m.struck, *out.Strike)
	}
	if o.Class == deliver.Sent {
		m.struck = nil
	}
	if step.Pause || len(blameless) > 0 {
		return m.pause(ctx, o)
	}
	return nil
}

// The times of what has to be written although the queue is away: five minutes, within
// which another host has not taken the work (queue.Lease).
const (
	insistEvery = time.Second
	insistTries = 300
	lastTime    = 10 * time.Second // of the try after a stop: with storeTime less than TimeoutStopSec of the unit
)

// insist repeats a step of the queue until it succeeds. It gives up when another host has
// the work, when the queue has to be opened again, or when the program stops: a queue that
// has come back since the last try gets one more.
func (t *turn) insist(ctx context.Context, step func(context.Context) error) error {
	limit := storeTime
	for n := 1; ; n++ {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		err := step(late)
		cancel()
		if err == nil || errors.Is(err, queue.ErrLost) || errors.Is(err, queue.ErrReopen) || n == insistTries || limit == lastTime {
			return err
		}
		t.Log.Debug("reports: the outcome of a mail waits for the queue", "err", err)
		if t.wait(ctx, insistEvery) != nil {
			limit = lastTime
		}
	}
}

// pause stops all sending, because a reply was about this host. Strikes of the row of
// refusals that ends here are taken back.
func (m *mailing) pause(ctx context.Context, o deliver.Outcome) error {
	text := o.Text
	if slices.Contains([]deliver.Phase{deliver.Rcpt, deliver.Data, deliver.End}, o.Phase) {
		text = o.Enhanced // the text may name the recipient
	}
	m.Log.Error("sending of reports paused: the smarthost refuses this host; fix the cause, then resume",
		"smarthost", o.Host, "phase", string(o.Phase), "code", o.Code, "reply", text)
	for _, s := range m.struck {
		if err := m.store.Unsuppress(ctx, s.Kind, s.What); err != nil && !errors.Is(err, queue.ErrUnknown) {
			return err
		}
	}
	m.struck, m.streak = nil, deliver.Streak{}
	if err := queue.Pause(ctx, m.store, strings.TrimSpace(fmt.Sprintf("%s %d %s", o.Phase, o.Code, text))); err != nil {
		return err
	}
	m.gate.Paused = true
	m.Metrics.ReportGate(false, true)
	return nil
}

// outcome is an outcome in the words of the queue.
func outcome(o deliver.Outcome, s deliver.Step) queue.Outcome {
	out := queue.Outcome{Host: o.Host, Code: o.Code, Enhanced: o.Enhanced, Text: o.Text, ReplyID: o.QueueID(), Why: class(o)}
	switch {
	case s.Again:
		out.State, out.NextTry = queue.Due, s.At
	case o.Class == deliver.Sent:
		out.State, out.Why = queue.Sent, ""
	case o.Class == deliver.Refused:
		out.State = queue.Refused
	default:
		out.State = queue.Expired
	}
	return out
}

// class is the class of a reply, for metrics and lists.
func class(o deliver.Outcome) string {
	switch {
	case o.Code/100 == 2 || o.Class == deliver.Sent:
		return "2xx"
	case o.Code/100 == 4:
		return "4xx"
	case o.Code/100 == 5:
		return "5xx"
	case o.Phase == deliver.StartTLS:
		return "tls"
	}
	return "conn"
}
