// Package enforce takes one message from its header to the reply.
//
// It calls each other room once and decides nothing itself: message reads
// the From field, auth runs the checks, auth/dmarc evaluates, policy decides,
// results keeps the row. docs/flow.md draws the path. The caller is a listener
// of milter; the command explain runs the same path without one.
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
	"strings"
	"sync/atomic"
	"time"

	"dmarcgate/auth"
	"dmarcgate/auth/arc"
	"dmarcgate/auth/dmarc"
	"dmarcgate/auth/spf"
	"dmarcgate/message"
	"dmarcgate/metrics"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/policy/sampling"
	"dmarcgate/results"
)

// Settings are what a site chose for one listener.
type Settings struct {
	Policy       policy.Settings
	PolicySum    string // sum.Settings of Policy, which costs too much to be made for each message
	Shape        string // results.Row.Shape of what is evaluated under these settings
	Sampler      sampling.Sampler
	Trusted      []netip.Prefix // mail from here is not evaluated
	Relays       []Relay        // hosts of ours that hand over mail from outside
	AuthservID   string         // our name in Authentication-Results; "" is the name of the MTA, or HostName without one
	HostName     string         // name of this host
	TrustMTAName bool           // of MTAs that connect over TCP, too
	AuthservIDs  []string       // all ids that only we may write, AuthservID and HostName among them; a Gate adds its Names
	TagField     string         // name of the field that quarantine=tag adds
	RemoveBIMI   bool           // BIMI fields from outside are removed
	Reports      ReportAddresses
	Reply        Reply
}

// Snapshot is everything that a reload can change. It is immutable: a message
// takes one at its start and keeps it to its end.
type Snapshot struct {
	Settings Settings
	Checker  *auth.Checker
}

// Recorder keeps rows; results/sqlite has one.
type Recorder interface {
	Add(results.Row) *results.Receipt
	MarkUnanswered(*results.Receipt)
}

// Gate handles the messages of one listener. Snapshot must be set before the
// first message.
type Gate struct {
	Listener  string
	Snapshot  atomic.Pointer[Snapshot]
	Store     Recorder
	Deferrals *Deferrals
	Metrics   *metrics.Metrics
	Log       *slog.Logger
	Now       func() time.Time
	History   func(org string) policy.History // what this host has seen of an organization; may be nil
	Coverage  *Coverage                       // may be nil
	Observe   func(results.Row)               // sees each row as it is recorded; may be nil, must not wait
	Names     *Names                          // of the MTAs of all listeners; nil takes none
	Local     bool                            // only this host can connect, by Unix sockets
}

// mail is one message under way.
type mail struct {
	gate   *Gate
	set    Settings
	env    *milter.Envelope
	client client
	header message.Header
	author message.Author
	skip   policy.Skip
	forged forgeries
	lost   *names    // of the fields beyond the limits; nil when there are none
	run    *auth.Run // nil when the message is not evaluated

	comparing bool            // there is another method of discovery
	mine      []dmarc.Opinion // by author
	others    []dmarc.Opinion // by author: of the other method of discovery; its Discovery is zero when it was not ready
}

// Start begins work on a message; all DNS lookups start here.
func (g *Gate) Start(ctx context.Context, env *milter.Envelope, header [][]byte) milter.Message {
	now := g.Snapshot.Load()
	beyond, _ := env.Overflow.(*overflow)
	if beyond != nil {
		now = beyond.now
	}
	m := &mail{gate: g, set: g.named(now.Settings, env), env: env, header: make(message.Header, len(header))}
	m.forged = m.set.forgeries()
	for i, raw := range header {
		m.header[i] = message.NewField(raw)
		m.forged.see(m.header[i])
	}
	if beyond != nil {
		m.forged, m.lost = beyond.forged, &beyond.dropped
	}
	m.author = message.ParseAuthor(m.header)
	m.client, m.skip = m.set.origin(env, m.header)
	g.Coverage.message(m.client, m.skip, env.Local)
	if m.skip == policy.Evaluated {
		m.comparing = now.Checker.Other != nil
		m.run = now.Checker.Start(ctx, m.query(), m.header)
	}
	return m
}

// query is what auth has to know besides the header.
func (m *mail) query() auth.Query {
	q := auth.Query{Client: m.client.addr, Helo: m.client.helo, MailFrom: m.env.MailFrom, Authors: m.authors()}
	if m.lost != nil {
		q.Dropped = m.lost.has
	}
	return q
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
		m.evaluateChecks(&facts, res)
	}
	results.Scrub(&facts)
	decision := m.set.Policy.Decide(facts)
	m.compare(&facts, decision)
	m.gate.Deferrals.note(facts, decision, m.set.Policy.MaxDefer)
	receipt := m.record(facts, decision)
	m.count(facts, decision)
	m.log(facts, decision, receipt, m.gate.Now().Sub(start))
	answer := m.answer(facts, decision)
	answer.Sent = func(err error) { m.sent(receipt, err) }
	return answer
}

// facts records what is known without any check.
func (m *mail) facts(now time.Time) policy.Facts {
	mailFrom, _ := message.AddressDomain(m.env.MailFrom)
	claims := message.ParseClaims(m.header)
	f := policy.Facts{
		Time: now.UTC(), Listener: m.gate.Listener, QueueID: m.env.QueueID,
		Client: m.client.addr, ClientName: m.client.name, Helo: m.client.helo, Relay: m.client.relay,
		UnknownClient: m.client.unknown,
		NullPath:      m.env.MailFrom == "", MailFrom: mailFrom,
		Skip: m.skip, FromField: m.from(), HeaderTruncated: m.env.HeaderTruncated, Forged: m.forged.count, TooManyForged: m.forged.tooMany,
		IsList: claims.IsList, ListID: claims.ListID, Automatic: claims.Automatic, TLS: m.client.tls,
		ReportTraffic: m.set.Reports.traffic(m.env, claims),
		Version:       policy.FactsVersion,
	}
	for _, rcpt := range m.env.Rcpts {
		d, _ := message.AddressDomain(rcpt) // "" for a local user such as <postmaster>
		if !slices.Contains(f.Recipients, d) {
			f.Recipients = append(f.Recipients, d)
		}
	}
	return f
}

// from is what the From field gave. Beyond the limits may be another one, so
// nothing follows from the one that is seen.
func (m *mail) from() policy.From {
	if m.env.HeaderTruncated {
		return policy.FromTruncated
	}
	return policy.From(m.author.Outcome.String())
}

// evaluateChecks adds what the checks found, and DMARC's verdict on it.
func (m *mail) evaluateChecks(f *policy.Facts, res auth.Results) {
	f.SPF, f.HELO, f.ARC = spfFacts(res.SPF), spfFacts(res.HELO), arcFacts(res.ARC)
	f.Stale, f.Pressed = res.Stale(), pressed(res)
	for _, s := range res.DKIM {
		f.DKIM = append(f.DKIM, policy.DKIM{
			Result: s.Status.String(), Domain: s.Domain, Selector: s.Selector, Algorithm: s.Algorithm, B: s.B, Canon: s.Canon,
			KeyBits: s.KeyBits, Testing: s.Testing, Why: s.Why, HeaderOK: s.HeaderOK, CutByMTA: s.CutByMTA, SignedAt: s.SignedAt,
		})
	}
	if m.lost != nil && m.lost.has("dkim-signature") {
		f.DKIM = append(f.DKIM, policy.DKIM{Result: "neutral", Why: "signatures beyond the limits of the header"})
	}
	sample := sampling.Sample{MessageID: m.first("Message-ID"), Date: m.first("Date"), MailFrom: m.env.MailFrom, Client: m.client.addr}
	for i, a := range res.Authors {
		sample.Author = m.author.Domains[i]
		f.Authors = append(f.Authors, m.evaluateAuthor(a, sample))
	}
	f.BIMIEligible = len(res.Authors) == 1 && dmarc.EligibleForBIMI(res.Authors[0].Discovery, f.Authors[0].Verdict)
	f.EarlierSPFFail = earlierSPFFail(m.header, f.Authors)
	f.Seed = m.seed(f.Authors, sample)
	f.Deferred = m.gate.Deferrals.age(*f, m.set.Policy.MaxDefer) // a fact, so that the decision can be made again
}

// seed is zero for a message that no rule and no profile does anything to,
// because every author domain passed and no rule is about such mail.
func (m *mail) seed(authors []policy.Author, sample sampling.Sample) uint64 {
	if len(authors) > 0 && !m.set.Policy.Rules.AboutPass() && !slices.ContainsFunc(authors, func(a policy.Author) bool { return a.Verdict.Status != dmarc.Pass }) {
		return 0
	}
	sample.Author = ""
	if len(authors) > 0 {
		sample.Author = authors[0].Domain
	}
	return m.set.Sampler.Seed(sample)
}

func spfFacts(r spf.Result) policy.SPF {
	return policy.SPF{Result: r.Status.String(), Domain: r.Domain, Term: r.Term, Why: r.Why}
}

func arcFacts(c auth.Chain) policy.ARC {
	if c.Status == arc.None {
		return policy.ARC{}
	}
	out := policy.ARC{Result: c.Status.String(), Why: c.Why, OldestPass: c.OldestPass}
	for _, s := range c.Sealers {
		sealer := policy.Sealer{Domain: s.Domain, Selector: s.Selector}
		for _, r := range s.Recorded {
			sealer.Recorded = append(sealer.Recorded, policy.Recorded(r))
		}
		out.Sealers = append(out.Sealers, sealer)
	}
	return out
}

// evaluateAuthor concludes for the author domain that sample names.
func (m *mail) evaluateAuthor(a auth.Author, sample sampling.Sample) policy.Author {
	out := policy.Author{
		Domain: sample.Author, Org: a.Discovery.Org, PolicyDomain: a.Discovery.PolicyDomain,
		Source:  a.Discovery.Source.String(),
		Verdict: m.evaluate(a.Discovery, a.Identifiers),
	}
	if out.PolicyDomain != "" {
		out.Record = a.Discovery.Record.PolicyTags()
	}
	if policy.EvidenceMatters(out.Verdict) {
		out.SendsMail, out.Signers = sendsMailFacts(a.SendsMail), signers(a)
	}
	if out.Verdict.Status != dmarc.Pass && m.gate.History != nil {
		out.History = m.gate.History(out.Org)
	}
	m.remember(a, out.Verdict)
	for _, d := range a.Discovery.Defects() {
		if kind := d.Kind.String(); !slices.Contains(out.Defects, kind) {
			out.Defects = append(out.Defects, kind)
		}
	}
	out.Draw = m.set.Sampler.Draw("pct", sample)
	return out
}

// pressed returns what could not be found out of a message, because lookups
// gave way to others.
func pressed(res auth.Results) []string {
	var words []string
	note := func(word string, err error) {
		if dmarc.GaveWay(err) && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	note(policy.PressedSPF, res.SPF.Err)
	note(policy.PressedHELO, res.HELO.Err)
	for i := range res.DKIM {
		note(policy.PressedDKIM, res.DKIM[i].Err)
	}
	note(policy.PressedARC, res.ARC.Err)
	for i := range res.Authors {
		note(policy.PressedSendsMail, res.Authors[i].SendsMail.Err)
	}
	return words
}

// evaluate concludes for one author domain.
func (m *mail) evaluate(d dmarc.Discovery, ids []dmarc.Identifier) dmarc.Verdict {
	v := dmarc.Evaluate(d, ids)
	if m.client.unknown != policy.ClientKnown {
		return v.WithoutClient()
	}
	return v
}

func sendsMailFacts(s auth.SendsMail) policy.SendsMail {
	out := policy.SendsMail{Queried: s.Queried, Missing: s.Missing}
	switch {
	case s.NoSPF:
		out.NoMail = policy.NoMailSPF
	case s.NullMX:
		out.NoMail = policy.NoMailMX
	}
	return out
}

// signers returns d= of the signatures that are aligned with an author domain,
// whether or not they passed.
func signers(a auth.Author) []string {
	var out []string
	for _, id := range a.Identifiers {
		if id.Mechanism == dmarc.DKIM && id.AlignedWith(a.Discovery) && !slices.Contains(out, id.Domain) {
			out = append(out, id.Domain)
		}
	}
	return out
}

// first returns the value of the first field of that name, or "".
func (m *mail) first(name string) string {
	i := slices.IndexFunc(m.header, func(f message.Field) bool { return strings.EqualFold(f.Name, name) })
	if i < 0 {
		return ""
	}
	return m.header[i].Value()
}

func (m *mail) record(f policy.Facts, d policy.Decision) *results.Receipt {
	start := m.gate.Now()
	row := results.Row{Facts: f, Decision: d, Settings: m.set.PolicySum, Shape: m.set.Shape}
	if d.Action == policy.Tempfail {
		row.State = results.Deferred
	}
	receipt := m.gate.Store.Add(row)
	m.gate.Metrics.Stage("record", m.gate.Now().Sub(start))
	if m.gate.Observe != nil {
		m.gate.Observe(row)
	}
	return receipt
}

// sent learns whether the MTA got the answer. When it did not, the sender
// will come again, and the row must not count twice.
func (m *mail) sent(r *results.Receipt, err error) {
	if err == nil {
		return
	}
	m.gate.Log.Warn("cannot write answer to the MTA", "qid", m.env.QueueID, "listener", m.gate.Listener, "err", err)
	m.gate.Store.MarkUnanswered(r)
}
