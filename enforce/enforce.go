// Package enforce is the path of one message, from its header to the answer.
//
// It calls each other room once and has no opinion of its own: message reads
// the From field, auth runs the checks, auth/dmarc evaluates, policy decides,
// results keeps the row. docs/flow.md draws the path.
//
// # Failures
//
// A failure of DNS is in the verdict and answered by the site's settings. A
// failure of the store never changes the answer: the log line says
// record=late or record=dropped. A panic is left to the session, which
// answers that one message with a temporary error.
package enforce

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"dmarcgate/auth"
	"dmarcgate/auth/dmarc"
	"dmarcgate/message"
	"dmarcgate/metrics"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// Settings are what a site chose for one listener. They do not change while
// a message is under way.
type Settings struct {
	Listener     string
	Policy       policy.Settings
	Sampler      policy.Sampler
	Trusted      []netip.Prefix // mail from here is not evaluated
	AuthservID   string         // our name in Authentication-Results
	AuthservIDs  []string       // all ids that only we may write, AuthservID among them
	TagField     string         // name of the field that quarantine=tag adds
	RejectText   string         // with {domain}, {reason} and {qid}
	TempfailText string         // with the same
}

// Recorder keeps rows; results.Store is one.
type Recorder interface {
	Add(results.Row) *results.Receipt
	MarkUnanswered(*results.Receipt)
}

// Gate handles the messages of one listener.
type Gate struct {
	Settings  Settings
	Checker   *auth.Checker
	Store     Recorder
	Deferrals *Deferrals
	Metrics   *metrics.Metrics
	Log       *slog.Logger
	Now       func() time.Time
}

// mail is one message under way.
type mail struct {
	gate   *Gate
	env    *milter.Envelope
	header message.Header
	author message.Author
	skip   policy.Skip
	run    *auth.Run // nil when the message is not evaluated
}

// Start begins work on a message; all DNS lookups start here.
func (g *Gate) Start(ctx context.Context, env *milter.Envelope, header [][]byte) milter.Message {
	m := &mail{gate: g, env: env, header: make(message.Header, len(header)), skip: g.skip(env)}
	for i, raw := range header {
		m.header[i] = message.NewField(raw)
	}
	m.author = message.ParseAuthor(m.header)
	if m.skip == policy.Evaluated {
		m.run = g.Checker.Start(ctx, auth.Query{
			Client: env.Client, Helo: env.Helo, MailFrom: env.MailFrom, Authors: m.authors(),
		}, m.header)
	}
	return m
}

// skip says why a message is not evaluated. Submissions and mail of our own
// hosts are not what a domain owner's policy speaks about.
func (g *Gate) skip(env *milter.Envelope) policy.Skip {
	switch {
	case env.Authenticated != "":
		return policy.Authenticated
	case !env.Client.IsValid():
		return policy.NotIP
	case env.Client.IsLoopback():
		return policy.Loopback
	case slices.ContainsFunc(g.Settings.Trusted, func(p netip.Prefix) bool { return p.Contains(env.Client) }):
		return policy.TrustedNetwork
	}
	return policy.Evaluated
}

// message must list one domain more than policy takes, so that too many can be
// told from enough.
const _ = uint(message.MaxAuthorDomains - policy.MaxAuthors)

// authors returns the author domains to evaluate: none when the From field
// gives no set of them that may be evaluated.
func (m *mail) authors() []string {
	if m.env.HeaderTruncated {
		return nil
	}
	switch m.author.Outcome {
	case message.OneMailbox, message.SeveralMailboxes, message.SeveralDomains:
		if len(m.author.Domains) <= policy.MaxAuthors {
			return m.author.Domains
		}
	}
	return nil
}

// Write takes the next part of the body, until no check needs more of it.
func (m *mail) Write(p []byte) (int, error) {
	if m.run == nil || !m.run.Wanted() {
		return len(p), milter.ErrSkip
	}
	return m.run.Write(p)
}

// Finish concludes, decides, records and answers.
func (m *mail) Finish() milter.Answer {
	start := m.gate.Now()
	facts := m.facts(start)
	if m.run != nil {
		res := m.run.Finish()
		m.gate.Metrics.Stage("auth", m.gate.Now().Sub(start))
		m.judge(&facts, res)
	}
	decision := m.gate.Settings.Policy.Decide(facts)
	m.gate.Deferrals.note(facts, decision, start)
	receipt := m.record(facts, decision)
	m.count(facts, decision)
	m.log(facts, decision, receipt, m.gate.Now().Sub(start))
	answer := m.answer(facts, decision)
	answer.Sent = func(err error) { m.sent(receipt, err) }
	return answer
}

// facts takes down what is known without any check.
func (m *mail) facts(now time.Time) policy.Facts {
	mailFrom, _ := message.AddressDomain(m.env.MailFrom)
	f := policy.Facts{
		Time: now.UTC(), Listener: m.gate.Settings.Listener, QueueID: m.env.QueueID,
		Client: m.env.Client, ClientName: m.env.ClientName, Helo: m.env.Helo,
		NullPath: m.env.MailFrom == "", MailFrom: mailFrom,
		Skip: m.skip, From: policy.From(m.author.Outcome.String()), Cut: m.env.HeaderTruncated,
	}
	for _, rcpt := range m.env.Rcpts {
		if d, ok := message.AddressDomain(rcpt); ok && !slices.Contains(f.Recipients, d) {
			f.Recipients = append(f.Recipients, d)
		}
	}
	return f
}

// judge adds what the checks found, and DMARC's verdict on it.
func (m *mail) judge(f *policy.Facts, res auth.Results) {
	f.SPF = policy.SPF{Result: res.SPF.Status.String(), Domain: res.SPF.Domain, Reason: res.SPF.Reason}
	f.HELO = policy.SPF{Result: res.HELO.Status.String(), Domain: res.HELO.Domain, Reason: res.HELO.Reason}
	for _, s := range res.DKIM {
		f.DKIM = append(f.DKIM, policy.DKIM{
			Result: s.Status.String(), Domain: s.Domain, Selector: s.Selector, Algorithm: s.Algorithm,
			B: s.B, KeyBits: s.KeyBits, Testing: s.Testing, Reason: s.Reason,
		})
	}
	for i, a := range res.Authors {
		f.Authors = append(f.Authors, m.judgeAuthor(m.author.Domains[i], a))
	}
	f.Deferred = m.gate.Deferrals.age(*f) // a fact, so that the decision can be made again
}

func (m *mail) judgeAuthor(domain string, a auth.Author) policy.Author {
	out := policy.Author{
		Domain: domain, Org: a.Discovery.Org, PolicyDomain: a.Discovery.PolicyDomain,
		Source:  a.Discovery.Source.String(),
		Verdict: dmarc.Evaluate(a.Discovery, a.Identifiers),
	}
	if out.PolicyDomain != "" {
		out.Record = a.Discovery.Record.String()
	}
	for _, d := range a.Discovery.Defects() {
		if kind := d.Kind.String(); !slices.Contains(out.Defects, kind) {
			out.Defects = append(out.Defects, kind)
		}
	}
	out.Draw = m.gate.Settings.Sampler.Draw("pct", policy.Sample{
		Author: domain, MessageID: m.first("Message-ID"), Date: m.first("Date"),
		MailFrom: m.env.MailFrom, Client: m.env.Client,
	})
	return out
}

func (m *mail) first(name string) string {
	fields := m.header.Named(name)
	if len(fields) == 0 {
		return ""
	}
	return fields[0].Value()
}

func (m *mail) record(f policy.Facts, d policy.Decision) *results.Receipt {
	start := m.gate.Now()
	row := results.Row{Facts: f, Decision: d}
	if d.Action == policy.Tempfail {
		row.State = results.Deferred
	}
	receipt := m.gate.Store.Add(row)
	m.gate.Metrics.Stage("record", m.gate.Now().Sub(start))
	return receipt
}

// sent learns whether the MTA got the answer. When it did not, the sender
// will come again, and the row must not count twice.
func (m *mail) sent(r *results.Receipt, err error) {
	if err == nil {
		return
	}
	m.gate.Log.Warn("answer could not be written to the MTA", "qid", m.env.QueueID, "listener", m.gate.Settings.Listener, "err", err)
	m.gate.Store.MarkUnanswered(r)
}
