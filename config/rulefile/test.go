package rulefile

import (
	"fmt"
	"net/netip"
	"strings"

	"dmarcgate/config"
	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// Limits of tests: ours. They run at every reload.
const (
	maxTestsOfRule = 100
	maxTests       = 20_000
)

// The words of [[rule.test]].
var (
	testResults  = []string{"temperror", "permerror"}
	spfResults   = []string{"pass", "fail", "softfail", "neutral", "none", "temperror", "permerror"} // RFC 8601, Section 2.7.2
	dkimResults  = []string{"pass", "fail", "body", "policy", "neutral", "temperror", "permerror"}   // Section 2.7.1; "body": fails for the body alone
	appliedWords = []string{"none", "quarantine", "reject", "tempfail"}
	reasonWords  = []string{
		"", string(policy.TrustedForwarder), string(policy.MailingList), string(policy.LocalPolicy), "forwarded", string(policy.Other), // "" is no override
	}
)

// testText is one [[rule.test]] while it is read.
type testText struct {
	at     string // its path
	test   policy.Test
	fields []tomlfile.Field
}

func newTestText(at string) *testText {
	t := &testText{at: at}
	t.fields = append(t.given(), t.expect()...)
	return t
}

// readTests takes the [[rule.test]] tables out of a rule.
func (t *ruleText) readTests(r *tomlfile.Reader, sub map[string]any) {
	r.Tables(t.at, sub, "test", func(at string, _ map[string]any) []tomlfile.Field {
		test := newTestText(at)
		t.tests = append(t.tests, test)
		return test.fields
	})
	if n := len(t.tests); n > maxTestsOfRule {
		r.Add(t.at+".test", tomlfile.Fault{Text: fmt.Sprintf("there are %d, more than %d", n, maxTestsOfRule), Fix: "keep those that differ"})
	}
}

func (t *testText) given() []tomlfile.Field {
	g, at := &t.test.Given, t.at+".given."
	return []tomlfile.Field{
		texts(at+"author", &g.Author, parseAddressDomain),
		tomlfile.Parsed(at+"from_field", &g.FromField, word[policy.From](fromWords)),
		tomlfile.Parsed(at+"policy", &g.Policy, word[string](requestedWords)),
		tomlfile.Parsed(at+"policy_domain", &g.PolicyDomain, parseDomain),
		tomlfile.Parsed(at+"result", &g.Result, parseTestResult),
		tomlfile.Parsed(at+"client", &g.Client, parseIP),
		tomlfile.Parsed(at+"name", &g.Name, parseDomain),
		tomlfile.Parsed(at+"helo", &g.Helo, parseDomain),
		tomlfile.Parsed(at+"mail_from", &g.MailFrom, parseAddressDomain),
		tomlfile.Flag(at+"null_path", &g.NullPath),
		texts(at+"rcpt", &g.Rcpt, parseAddressDomain),
		tomlfile.Parsed(at+"listener", &g.Listener, config.ParseListenerName),
		tomlfile.Parsed(at+"spf", &g.SPF, word[string](spfResults)),
		texts(at+"dkim", &g.DKIM, parseSignature),
		texts(at+"arc", &g.ARC, parseDomain),
		tomlfile.Parsed(at+"list_id", &g.ListID, parseDomain),
		tomlfile.Flag(at+"list_headers", &g.ListHeaders),
		tomlfile.Flag(at+"auto_submitted", &g.Automatic),
		tomlfile.Flag(at+"tls", &g.TLS),
		tomlfile.Flag(at+"earlier_spf_fail", &g.EarlierSPFFail),
		tomlfile.NumberBetween(at+"history", &g.History, 0, maxHistory),
		moment(at+"time", &g.Time),
		tomlfile.Parsed(at+"profile", &g.Profile, parseTestProfile),
	}
}

func (t *testText) expect() []tomlfile.Field {
	e, at := &t.test.Expect, t.at+".expect."
	return []tomlfile.Field{
		optional(at+"rule", &e.Rule, anyTextField),
		tomlfile.Parsed(at+"applied", &e.Applied, word[string](appliedWords)),
		optional(at+"reason", &e.Reason, func(key string, p *policy.Reason) tomlfile.Field {
			return tomlfile.Parsed(key, p, word[policy.Reason](reasonWords))
		}),
	}
}

func anyTextField(key string, p *string) tomlfile.Field { return tomlfile.Text(key, p, anyText) }

// finish checks the test and returns it.
func (t *testText) finish(r *tomlfile.Reader) policy.Test {
	t.test.Line = r.Line(t.at)
	r.Check(t.fields)
	e, g := t.test.Expect, t.test.Given
	for _, name := range []string{"given", "expect"} {
		if path := t.at + "." + name; !r.Written(path) && !r.BadWithin(path) {
			r.Add(path, tomlfile.Fault{Text: "is missing", Fix: `write given = { … } for the message and expect = { … } for the decision`})
		}
	}
	if path := t.at + ".expect"; r.Written(path) && !r.BadWithin(path) && e.Rule == nil && e.Applied == "" && e.Reason == nil {
		r.Add(path, tomlfile.Fault{Text: "is empty, so the test can never fail", Fix: "write rule, applied or reason"})
	}
	if path := t.at + ".given.null_path"; g.NullPath && g.MailFrom != "" && !r.Spoilt(path) {
		r.Add(path, tomlfile.Fault{Text: "there is a mail_from, too", Fix: "remove one of them"})
	}
	return t.test
}

// parseDomain reads one domain, in ASCII and any letter case.
func parseDomain(s string) (string, error) {
	p, err := pattern.ParseDomain(s)
	if err != nil || p.String() != strings.ToLower(s) || strings.HasPrefix(s, ".") || strings.Contains(s, ":") {
		return "", tomlfile.Faultf(`write one domain, as in "mail.example.org"`, "%q is not a domain", s)
	}
	return p.String(), nil
}

// parseAddressDomain reads a domain, or an address, of which it keeps the
// domain.
func parseAddressDomain(s string) (string, error) {
	d, err := parseDomain(s[strings.LastIndex(s, "@")+1:])
	if err != nil {
		return "", tomlfile.Faultf(`write an address or its domain, as in "mail.example.org"`, "%q is not an address or a domain", s)
	}
	return d, nil
}

func parseIP(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Addr{}, tomlfile.Faultf(`write for example "192.0.2.7" or "2001:db8::7"`, "%q is not an address", s)
	}
	return a, nil
}

// parseSignature reads "pass:example.org".
func parseSignature(s string) (string, error) {
	result, domain, _ := strings.Cut(s, ":")
	d, err := parseDomain(domain)
	if err != nil {
		return "", tomlfile.Faultf(`write result and d= of a signature, as in "pass:example.org"`, "%q is not a signature", s)
	}
	if err := tomlfile.OneOf(result, dkimResults); err != nil {
		return "", err
	}
	return result + ":" + d, nil
}

func parseTestResult(s string) (string, error) {
	switch s {
	case "pass", "fail", "none":
		return "", tomlfile.Faultf("remove it", "%q follows from policy, spf and dkim", s)
	}
	return s, tomlfile.OneOf(s, testResults)
}

func parseTestProfile(s string) (policy.Profile, error) {
	if s == "monitor" {
		return 0, tomlfile.Faultf(`write "conformant" or "strict"`, "rules decide nothing under monitor")
	}
	if err := tomlfile.OneOf(s, []string{"conformant", "strict"}); err != nil {
		return 0, err
	}
	var p policy.Profile
	err := p.UnmarshalText([]byte(s))
	return p, err
}
