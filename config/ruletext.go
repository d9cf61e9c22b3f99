package config

import (
	"strings"

	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/pattern"
)

const (
	defaultPriority = 100

	// maxHistory bounds history_min and history_max: our limit, above what a host
	// receives from one organization in policy.HistoryDays.
	maxHistory = 1_000_000_000

	maxIdle = 3650 * Day // ten years, as for all that is kept
)

// The words of [rule.match]. Those of result are policy's.
var (
	requestedWords = []string{"none", "quarantine", "reject"}
	fromWords      = []string{
		string(policy.FromOneMailbox), string(policy.FromSeveralMailboxes), string(policy.FromSeveralDomains), string(policy.FromSeveralFields),
		string(policy.FromMissing), string(policy.FromEmptyGroup), string(policy.FromUnparsable),
		string(policy.FromTruncated),
	}
)

// ruleText is one [[rule]] while it is read.
type ruleText struct {
	at                   string // its path
	maps                 *maps
	rule                 policy.Rule
	mode, action, reason string
	idle                 Duration
	fields               []field
	tests                []*testText
}

func newRuleText(at string, m *maps) *ruleText {
	t := &ruleText{at: at, maps: m, rule: policy.Rule{Priority: defaultPriority}}
	t.fields = append(t.head(), t.match()...)
	return t
}

// head is the table of what may be written in a rule, but for its match and its
// tests.
func (t *ruleText) head() []field {
	r, at := &t.rule, t.at
	return []field{
		required(`write a name that stays, for example id = "alumni-relay"`, text(at+".id", &r.ID, anyText)),
		required(`write who answers for the rule, an address or a team`, text(at+".owner", &r.Owner, anyText)),
		text(at+".comment", &r.Comment, anyText),
		required(`write the day, as in created = 2026-11-02`, date(at+".created", &r.Created)),
		dateOrNever(at+".expires", &r.Expires),
		duration(at+".idle", &t.idle, Day, maxIdle),
		required(`write mode = "shadow" to see what the rule would do, "enforce" or "off"`,
			choice(at+".mode", &t.mode, "enforce", "shadow", "off")),
		number(at+".priority", &r.Priority, 0, policy.MaxPriority),
		required(`write "accept", "quarantine", "reject", "tempfail", "as_published" or "skip_report"`,
			choice(at+".action", &t.action, "accept", "quarantine", "reject", "tempfail", "as_published", "skip_report")),
		text(at+".reason", &t.reason, checkReason),
		text(at+".report_comment", &r.ReportComment, anyText),
		share(at+".sample", &r.Sample, `write mode = "shadow" or "off"`),
	}
}

// match is the table of [rule.match].
func (t *ruleText) match() []field {
	m, no, at := &t.rule.Match, &t.rule.Match.Not, t.at+".match."
	return []field{
		t.networks(at+"client_ip", &m.ClientIP),
		t.domains(at+"iprev", &m.IPRev),
		t.domains(at+"spf_pass", &m.SPFPass),
		t.domains(at+"dkim_pass", &m.DKIMPass),
		t.domains(at+"arc_pass", &m.ARCPass),
		list(at+"listener", &m.Listener, ParseListenerName),
		optional(at+"tls", &m.TLS, flag),
		t.domains(at+"helo", &m.HELO),
		t.domains(at+"mail_from_domain", &m.MailFrom),
		optional(at+"null_path", &m.NullPath, flag),
		list(at+"time", &m.Hours, parseHours),
		list(at+"weekday", &m.Weekdays, parseWeekday),
		t.domains(at+"list_id", &m.ListID),
		optional(at+"list_headers", &m.IsList, flag),
		optional(at+"auto_submitted", &m.Automatic, flag),

		t.domains(at+"header_from", &m.HeaderFrom),
		t.domains(at+"policy_domain", &m.PolicyDomain),
		list(at+"result", &m.Result, func(s string) (string, error) { return s, nil }),
		list(at+"requested", &m.Requested, word[string](requestedWords)),
		list(at+"from", &m.From, word[policy.From](fromWords)),
		optional(at+"body_changed", &m.BodyChanged, flag),
		optional(at+"history_min", &m.HistoryMin, history),
		optional(at+"history_max", &m.HistoryMax, history),

		t.domains(at+"rcpt_domain", &m.RcptDomain),

		t.networks(at+"not_client_ip", &no.ClientIP),
		t.domains(at+"not_iprev", &no.IPRev),
		t.domains(at+"not_spf_pass", &no.SPFPass),
		t.domains(at+"not_dkim_pass", &no.DKIMPass),
		t.domains(at+"not_helo", &no.HELO),
		t.domains(at+"not_mail_from_domain", &no.MailFrom),
		t.domains(at+"not_list_id", &no.ListID),
		t.domains(at+"not_header_from", &no.HeaderFrom),
		t.domains(at+"not_policy_domain", &no.PolicyDomain),
		t.domains(at+"not_rcpt_domain", &no.RcptDomain),
	}
}

func history(key string, p *int) field { return number(key, p, 0, maxHistory) }

// domains is a list of domains and maps of them.
func (t *ruleText) domains(key string, p *[]pattern.Domain) field {
	return list(key, p, func(s string) (pattern.Domain, error) {
		if name, ok := strings.CutPrefix(s, mapPrefix); ok {
			return t.maps.domains(name)
		}
		pat, err := pattern.ParseDomain(s)
		return pat, asFault(err)
	})
}

// networks is a list of networks and maps of them.
func (t *ruleText) networks(key string, p *[]pattern.Network) field {
	return list(key, p, func(s string) (pattern.Network, error) {
		if name, ok := strings.CutPrefix(s, mapPrefix); ok {
			return t.maps.networks(name)
		}
		network, err := ParseSomeNetwork(s)
		return pattern.NetworkOf(network), err
	})
}

// ruleKeys returns every key of a rule file, dotted.
func ruleKeys() []string {
	var keys []string
	for _, f := range append(newRuleText("rule", nil).fields, newTestText("rule.test").fields...) {
		keys = append(keys, f.key)
	}
	return keys
}

// finish checks what the table has read and makes the rule of it.
func (t *ruleText) finish(r *reader) {
	t.rule.File, t.rule.Line = r.file, r.line(t.at)
	r.check(t.fields)
	t.words()
	for _, key := range []struct{ name, mend string }{
		{"expires", `write the day, as in expires = 2027-05-01, or "never" with a comment that says why`},
		{"reason", "write what reports shall say: " + quoted(reasonWords[1:])},
	} {
		if path := t.at + "." + key.name; t.rule.Action == policy.RuleAccept && !r.written(path) {
			r.add(path, fault{text: "is missing, and the rule accepts", mend: key.mend})
		}
	}
	if path := t.at + ".match"; !r.written(path) {
		r.add(path, fault{text: "is missing", mend: "write [rule.match] below the other keys, and there what the rule is about"})
	}
	for _, f := range lint.Faults(t.rule) {
		if path := t.at + "." + f.Key; !r.badWithin(path) {
			r.add(path, fault{text: f.Text, mend: f.Mend, code: f.Code})
		}
	}
	for _, test := range t.tests {
		t.rule.Tests = append(t.rule.Tests, test.finish(r))
	}
}

// words turns the words of the file into values. Those that are unknown have
// been reported. An unknown action makes no demands on the other keys, so one
// that makes none stands for it.
func (t *ruleText) words() {
	t.rule.Reason = policy.Override(t.reason)
	t.rule.Idle = t.idle.Std()
	_ = t.rule.Mode.UnmarshalText([]byte(t.mode))
	if t.rule.Action.UnmarshalText([]byte(t.action)) != nil {
		t.rule.Action = policy.RuleQuarantine
	}
}

// anyText leaves what a text may be to policy.Rule.Faults.
func anyText(string) error { return nil }

// checkReason leaves to policy.Rule.Faults what is a reason, but none of a rule.
func checkReason(s string) error {
	if s == string(policy.SampledOut) || s == string(policy.PolicyTestMode) {
		return nil
	}
	return oneOf(s, reasonWords[1:])
}
