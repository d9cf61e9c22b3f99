package rulefile

import (
	"strings"

	"dmarcgate/config"
	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

const (
	defaultPriority = 100

	// maxHistory bounds history_min and history_max: our limit, above what a host
	// receives from one organization in policy.HistoryDays.
	maxHistory = 1_000_000_000

	maxIdle = 3650 * tomlfile.Day // ten years, as for all that is kept
)

// The words of [rule.match]. Those of result are policy's.
var (
	passWays       = []string{"spf", "dkim", "both"}
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
	idle                 tomlfile.Duration
	fields               []tomlfile.Field
	tests                []*testText
}

func newRuleText(at string, m *maps) *ruleText {
	t := &ruleText{at: at, maps: m, rule: policy.Rule{Priority: defaultPriority}}
	t.fields = append(t.head(), t.match()...)
	return t
}

// head is the table of what may be written in a rule, but for its match and its
// tests.
func (t *ruleText) head() []tomlfile.Field {
	r, at := &t.rule, t.at
	return []tomlfile.Field{
		tomlfile.Required(`write a permanent name, for example id = "alumni-relay"`, tomlfile.Text(at+".id", &r.ID, anyText)),
		tomlfile.Required(`write an address or team responsible for the rule`, tomlfile.Text(at+".owner", &r.Owner, anyText)),
		tomlfile.Text(at+".comment", &r.Comment, anyText),
		tomlfile.Required(`write the day, as in created = 2026-11-02`, date(at+".created", &r.Created)),
		dateOrNever(at+".expires", &r.Expires),
		tomlfile.DurationBetween(at+".idle", &t.idle, tomlfile.Day, maxIdle),
		tomlfile.Required(`write mode = "shadow" to see what the rule would do, "enforce" or "off"`,
			tomlfile.Choice(at+".mode", &t.mode, "enforce", "shadow", "off")),
		tomlfile.NumberBetween(at+".priority", &r.Priority, 0, policy.MaxPriority),
		tomlfile.Required(`write "accept", "tag", "quarantine", "reject", "tempfail", "as_published" or "skip_report"`,
			tomlfile.Choice(at+".action", &t.action, "accept", "tag", "quarantine", "reject", "tempfail", "as_published", "skip_report")),
		tomlfile.Text(at+".text", &r.Text, config.CheckReply),
		tomlfile.Text(at+".reason", &t.reason, checkReason),
		tomlfile.Text(at+".report_comment", &r.ReportComment, anyText),
		tomlfile.Share(at+".sample", &r.Sample, `write mode = "shadow" or "off"`),
	}
}

// match is the table of [rule.match].
func (t *ruleText) match() []tomlfile.Field {
	m, no, at := &t.rule.Match, &t.rule.Match.Not, t.at+".match."
	return []tomlfile.Field{
		t.networks(at+"client", &m.Client),
		t.domains(at+"iprev", &m.IPRev),
		t.domains(at+"spf_pass", &m.SPFPass),
		t.domains(at+"dkim_pass", &m.DKIMPass),
		t.domains(at+"arc_pass", &m.ARCPass),
		tomlfile.List(at+"spf", &m.SPF, word[string](spfResults)),
		optional(at+"authenticated", &m.Authenticated, tomlfile.Flag),
		tomlfile.List(at+"listener", &m.Listener, config.ParseListenerName),
		optional(at+"tls", &m.TLS, tomlfile.Flag),
		t.domains(at+"helo", &m.HELO),
		t.domains(at+"mail_from", &m.MailFrom),
		optional(at+"null_path", &m.NullPath, tomlfile.Flag),
		tomlfile.List(at+"time", &m.Hours, parseHours),
		tomlfile.List(at+"weekday", &m.Weekdays, parseWeekday),
		optional(at+"tz", &m.TZ, func(key string, p *pattern.Zone) tomlfile.Field { return tomlfile.Parsed(key, p, parseZone) }),
		t.domains(at+"list_id", &m.ListID),
		optional(at+"list_headers", &m.IsList, tomlfile.Flag),
		optional(at+"auto_submitted", &m.Automatic, tomlfile.Flag),

		t.domains(at+"author", &m.Author),
		t.domains(at+"policy_domain", &m.PolicyDomain),
		tomlfile.List(at+"result", &m.Result, func(s string) (string, error) { return s, nil }),
		tomlfile.List(at+"pass_by", &m.PassBy, word[string](passWays)),
		optional(at+"earlier_spf_fail", &m.EarlierSPFFail, tomlfile.Flag),
		tomlfile.List(at+"requested", &m.Requested, word[string](requestedWords)),
		tomlfile.List(at+"from_field", &m.FromField, word[policy.From](fromWords)),
		optional(at+"body_changed", &m.BodyChanged, tomlfile.Flag),
		optional(at+"history_min", &m.HistoryMin, history),
		optional(at+"history_max", &m.HistoryMax, history),

		t.domains(at+"rcpt_domain", &m.RcptDomain),

		t.networks(at+"not_client", &no.Client),
		t.domains(at+"not_iprev", &no.IPRev),
		t.domains(at+"not_spf_pass", &no.SPFPass),
		t.domains(at+"not_dkim_pass", &no.DKIMPass),
		t.domains(at+"not_helo", &no.HELO),
		t.domains(at+"not_mail_from", &no.MailFrom),
		t.domains(at+"not_list_id", &no.ListID),
		t.domains(at+"not_author", &no.Author),
		t.domains(at+"not_policy_domain", &no.PolicyDomain),
		t.domains(at+"not_rcpt_domain", &no.RcptDomain),
	}
}

func history(key string, p *int) tomlfile.Field { return tomlfile.NumberBetween(key, p, 0, maxHistory) }

// domains is a list of domains and maps of them.
func (t *ruleText) domains(key string, p *[]pattern.Domain) tomlfile.Field {
	return tomlfile.List(key, p, func(s string) (pattern.Domain, error) {
		if name, ok := strings.CutPrefix(s, mapPrefix); ok {
			return t.maps.domains(name)
		}
		pat, err := pattern.ParseDomain(s)
		return pat, tomlfile.AsFault(err)
	})
}

// networks is a list of networks and maps of them.
func (t *ruleText) networks(key string, p *[]pattern.Network) tomlfile.Field {
	return tomlfile.List(key, p, func(s string) (pattern.Network, error) {
		if name, ok := strings.CutPrefix(s, mapPrefix); ok {
			return t.maps.networks(name)
		}
		network, err := config.ParseSomeNetwork(s)
		return pattern.NetworkOf(network), err
	})
}

// Keys returns every key of a rule file, dotted, as "rule.match.client".
func Keys() []string {
	var keys []string
	for _, f := range append(newRuleText("rule", nil).fields, newTestText("rule.test").fields...) {
		keys = append(keys, f.Key)
	}
	return keys
}

// finish checks what the table has read and makes the rule of it.
func (t *ruleText) finish(r *tomlfile.Reader) {
	t.rule.File, t.rule.Line = r.File, r.Line(t.at)
	r.Check(t.fields)
	t.words()
	for _, key := range []struct{ name, fix string }{
		{"expires", `write the day, as in expires = 2027-05-01, or "never" with a comment that says why`},
		{"reason", "write the reason for reports: " + tomlfile.Quoted(reasonWords[1:])},
	} {
		if path := t.at + "." + key.name; t.rule.Action == policy.RuleAccept && !r.Written(path) {
			r.Add(path, tomlfile.Fault{Text: "is missing in a rule that accepts", Fix: key.fix})
		}
	}
	if path := t.at + ".match"; !r.Written(path) {
		r.Add(path, tomlfile.Fault{Text: "is missing", Fix: "add [rule.match] with criteria below the other keys"})
	}
	for _, f := range t.rule.Faults() {
		if path := t.at + "." + f.Key; !r.BadWithin(path) {
			r.Add(path, tomlfile.Fault{Text: f.Text, Fix: f.Fix, Code: f.Code})
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
	t.rule.Reason = policy.Reason(t.reason)
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
	return tomlfile.OneOf(s, reasonWords[1:])
}
