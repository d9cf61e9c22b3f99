package rulefile

import (
	"fmt"
	"strings"
	"time"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
)

// inline collects the entries of an inline table of TOML.
type inline []string

func (t *inline) add(key, value string) { *t = append(*t, key+" = "+value) }

// text adds a text that is not empty.
func (t *inline) text(key, value string) {
	if value != "" {
		t.add(key, tomlfile.Quote(value))
	}
}

// list adds a list that is not empty.
func (t *inline) list(key string, values []string) {
	if len(values) > 0 {
		t.add(key, tomlfile.QuoteList(values))
	}
}

func (t *inline) flag(key string, value bool) {
	if value {
		t.add(key, "true")
	}
}

func (t inline) String() string {
	if len(t) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(t, ", ") + " }"
}

// inlineGiven writes the message of a [[rule.test]].
func inlineGiven(g policy.Given) string {
	var t inline
	t.list("author", g.Author)
	t.text("from_field", string(g.FromField))
	t.text("policy", g.Policy)
	t.text("policy_domain", g.PolicyDomain)
	t.text("result", g.Result)
	if g.Client.IsValid() {
		t.text("client", g.Client.String())
	}
	t.text("name", g.Name)
	t.text("helo", g.Helo)
	t.text("mail_from", g.MailFrom)
	t.flag("null_path", g.NullPath)
	t.list("rcpt", g.Rcpt)
	t.text("listener", g.Listener)
	t.text("spf", g.SPF)
	t.list("dkim", g.DKIM)
	t.list("arc", g.ARC)
	t.text("list_id", g.ListID)
	t.flag("list_headers", g.ListHeaders)
	t.flag("auto_submitted", g.Automatic)
	t.flag("tls", g.TLS)
	t.flag("earlier_spf_fail", g.EarlierSPFFail)
	if g.History > 0 {
		t.add("history", fmt.Sprint(g.History))
	}
	if !g.Time.IsZero() {
		t.add("time", g.Time.UTC().Format(time.RFC3339))
	}
	if g.Profile != policy.Monitor {
		t.text("profile", g.Profile.String())
	}
	return t.String()
}

// inlineExpect writes what shall come of it.
func inlineExpect(x policy.Expect) string {
	var t inline
	if x.Rule != nil {
		t.add("rule", tomlfile.Quote(*x.Rule))
	}
	t.text("applied", x.Applied)
	if x.Reason != nil {
		t.add("reason", tomlfile.Quote(string(*x.Reason)))
	}
	return t.String()
}

// Text writes a rule with its tests as a rule file has it.
func Text(r policy.Rule) string {
	doc := Table(r)
	if len(r.Match.Listener) > 0 {
		doc["match"].(map[string]any)["listener"] = r.Match.Listener
	}
	var b strings.Builder
	b.WriteString(tomlfile.Write(map[string]any{"rule": []map[string]any{doc}}))
	for _, t := range r.Tests {
		b.WriteString("\n" + TestText(t))
	}
	return b.String()
}

// TestText writes a [[rule.test]] as a rule file has it.
func TestText(t policy.Test) string {
	return fmt.Sprintf("[[rule.test]]\ngiven  = %s\nexpect = %s\n", inlineGiven(t.Given), inlineExpect(t.Expect))
}
