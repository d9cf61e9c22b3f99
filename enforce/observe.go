package enforce

import (
	"cmp"
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// count tells the metrics what became of a message.
func (m *mail) count(f policy.Facts, d policy.Decision) {
	mm := m.gate.Metrics
	mm.MessageAnswered(f.Listener, actionLabel(d.Action))
	if d.Action != policy.Reject && d.Action != policy.Tempfail {
		for _, w := range m.forged.names {
			mm.ForgedRemoved(f.Listener, w.kind, w.count)
		}
	}
	if f.UnknownClient != policy.ClientKnown {
		mm.UnknownClient(string(f.UnknownClient))
	}
	if f.Skip != policy.Evaluated {
		mm.Skipped(f.Listener, string(f.Skip))
		return
	}
	mm.SPF(f.SPF.Result, "mailfrom")
	mm.SPF(f.HELO.Result, "helo")
	for _, s := range f.DKIM {
		mm.DKIM(s.Result, s.Algorithm, s.KeyBits)
	}
	mm.Evidence(string(d.Evidence))
	mm.ARC(cmp.Or(f.ARC.Result, "none"))
	if f.FromField != policy.FromOneMailbox && f.FromField != policy.FromSeveralMailboxes {
		mm.FromMalformed(string(f.FromField))
	}
	for _, a := range f.Authors {
		m.countAuthor(a)
	}
	mm.Disposition(f.Listener, d.Requested.String(), applied(d), string(d.Reason))
	m.countRules(f, d)
}

// countRules counts the rules that matched. Those that another one outranked
// have only their time noted.
func (m *mail) countRules(f policy.Facts, d policy.Decision) {
	mm := m.gate.Metrics
	matched := func(rule string, a policy.Action, mode policy.Mode) {
		mm.RuleMatched(rule, a.String(), mode.String())
		mm.RuleLastMatch(rule, f.Time)
	}
	if d.Rule != "" {
		matched(d.Rule, d.Action, policy.Enforce)
	}
	if d.Unreported != "" {
		matched(d.Unreported, d.Action, policy.Enforce)
	}
	for _, rule := range d.Also {
		mm.RuleLastMatch(rule, f.Time)
	}
	for _, s := range d.Shadow {
		matched(s.Rule, s.Action, policy.Shadow)
		if s.Action != d.Action {
			mm.RuleShadowChanged(s.Rule, d.Action.String(), s.Action.String())
		}
	}
}

func (m *mail) countAuthor(a policy.Author) {
	mm := m.gate.Metrics
	mm.PolicySource(a.Source)
	mm.Evaluation(m.gate.Listener, a.Verdict.Status.String(), a.Published())
	if a.Verdict.Status == dmarc.TempError {
		mm.TempError(a.Verdict.Cause.String())
	}
	for _, kind := range a.Defects {
		mm.RecordMalformed("dmarc", kind)
	}
	if a.Verdict.Status == dmarc.Pass {
		mm.Pass(via(a.Verdict))
	}
}

func via(v dmarc.Verdict) string {
	switch {
	case v.AlignedSPF && v.AlignedDKIM:
		return "both"
	case v.AlignedDKIM:
		return "dkim"
	}
	return "spf"
}

// actionLabel returns the value of the action label.
func actionLabel(a policy.Action) string {
	if a == policy.Tag {
		return "tag"
	}
	return a.String()
}

// applied returns what was done, in the words of the metric and the log.
func applied(d policy.Decision) string {
	if d.Action == policy.Tempfail {
		return policy.Tempfail.String()
	}
	return d.Disposition.String()
}

const (
	// mostAttrs is how many keys a line has.
	mostAttrs = 27

	// mostShadows is how many rules in shadow mode a line names, so that a
	// hundred that somebody tries do not fill the log.
	mostShadows = 5
)

// log writes the one line of this message. The queue id comes first, because
// that is what operators search for. Text from the message is quoted by the
// log handler.
func (m *mail) log(f policy.Facts, d policy.Decision, r *results.Receipt, took time.Duration) {
	attrs := append(make([]slog.Attr, 0, mostAttrs),
		slog.String("qid", f.QueueID),
		slog.String("listener", f.Listener),
		slog.String("client", addr(f)),
		slog.String("helo", f.Helo),
		slog.String("author", cmp.Or(strings.Join(m.author.Domains, ","), "-")),
		slog.String("mail_from", mailFromWord(f)),
	)
	if f.Skip != policy.Evaluated {
		attrs = append(attrs, slog.String("skip", string(f.Skip)))
	} else {
		attrs = append(attrs, m.verdictAttrs(f, d)...)
	}
	if f.Forged > 0 {
		attrs = append(attrs, slog.Int("forged", f.Forged))
	}
	if f.UnknownClient != policy.ClientKnown {
		attrs = append(attrs, slog.String("unknown_client", string(f.UnknownClient)))
	}
	if f.Relay.IsValid() {
		attrs = append(attrs, slog.String("relay", f.Relay.String()))
	}
	if f.Skip == policy.Evaluated && m.set.Policy.Forwarded(f) {
		attrs = append(attrs, slog.String("forwarder", "yes"))
	}
	if f.Stale {
		attrs = append(attrs, slog.String("stale", "yes"))
	}
	if len(f.Pressed) > 0 {
		attrs = append(attrs, slog.String("pressed", strings.Join(f.Pressed, ",")))
	}
	if d.Evidence != "" {
		attrs = append(attrs, slog.String("evidence", string(d.Evidence)))
	}
	if d.Rule != "" {
		attrs = append(attrs, slog.String("rule", d.Rule))
	}
	if d.Unreported != "" {
		attrs = append(attrs, slog.String("unreported", d.Unreported))
	}
	if shadow := shadowSummary(d); shadow != "" {
		attrs = append(attrs, slog.String("shadow", shadow))
	}
	attrs = append(attrs, slog.String("dur", strconv.FormatFloat(took.Seconds()*1000, 'f', 1, 64)+"ms"), slog.String("action", d.Action.String()))
	if r.Outcome != results.Written {
		attrs = append(attrs, slog.String("record", r.Outcome.String()))
	}
	m.gate.Log.LogAttrs(context.Background(), slog.LevelInfo, "", attrs...)
}

func (m *mail) verdictAttrs(f policy.Facts, d policy.Decision) []slog.Attr {
	result, policyText, cause := string(f.FromField), "-", dmarc.CauseNone
	for _, a := range f.Authors {
		if a.Domain == d.Author {
			result, policyText, cause = a.Verdict.Status.String(), a.Published(), a.Verdict.Cause
		}
	}
	attrs := []slog.Attr{
		slog.String("result", result),
		slog.String("p", policyText),
		slog.String("requested", d.Requested.String()),
		slog.String("applied", applied(d)),
		slog.String("reason", cmp.Or(string(d.Reason), "-")),
		slog.String("spf", f.SPF.Result),
		slog.String("dkim", dkimSummary(f.DKIM)),
		slog.String("arc", arcSummary(f.ARC)),
		slog.String("why", d.Why),
	}
	if cause != dmarc.CauseNone {
		attrs = append(attrs, slog.String("cause", cause.String()))
	}
	return attrs
}

// mailFromWord is the domain of MAIL FROM, "<>" for the null path alone, and
// "-" for a path without a domain: a local user, an address literal.
func mailFromWord(f policy.Facts) string {
	if f.NullPath {
		return "<>"
	}
	return cmp.Or(f.MailFrom, "-")
}

// dkimSummary is "pass:example.org,fail:example.net", or "none". A permanent
// error has its reason, which the sender has to fix:
// "permerror:example.org (key revoked)".
func dkimSummary(sigs []policy.DKIM) string {
	if len(sigs) == 0 {
		return "none"
	}
	out := make([]string, len(sigs))
	for i, s := range sigs {
		out[i] = s.Result + ":" + s.Domain
		if s.Result == "permerror" && s.Why != "" {
			out[i] += " (" + s.Why + ")"
		}
	}
	return strings.Join(out, ",")
}

// arcSummary is "pass:lists.example.net" with the newest sealer, or "none".
func arcSummary(c policy.ARC) string {
	switch n := len(c.Sealers); {
	case c.Result == "":
		return "none"
	case n == 0:
		return c.Result
	default:
		return c.Result + ":" + c.Sealers[n-1].Domain
	}
}

// shadowSummary is "partner:accept,lists:tag": the rules in shadow mode that
// would have done another thing, and what. After mostShadows it ends in ",…".
func shadowSummary(d policy.Decision) string {
	var out []string
	for _, s := range d.Shadow {
		switch {
		case s.Action == d.Action:
		case len(out) == mostShadows:
			return strings.Join(append(out, "…"), ",")
		default:
			out = append(out, s.Rule+":"+s.Action.String())
		}
	}
	return strings.Join(out, ",")
}

func addr(f policy.Facts) string {
	if !f.Client.IsValid() {
		return "-"
	}
	return f.Client.String()
}
