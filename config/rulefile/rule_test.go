package rulefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/config/tomlfile"
	"dmarcgate/internal/brokentest"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/policy/ruletest"
)

const exampleRules = "../../deploy/rules.d/example.toml"

func TestLoadRulesReportsProblemsWithLineKeyAndFix(t *testing.T) {
	brokentest.Files(t, "testdata/broken", func(data []byte) (bool, error) {
		rules, err := Parse("f", data)
		return rules != nil, err
	})
}

func midnight(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

func patterns(t *testing.T, texts ...string) []pattern.Domain {
	t.Helper()
	var out []pattern.Domain
	for _, s := range texts {
		p, err := pattern.ParseDomain(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestARuleIsReadAsWritten(t *testing.T) {
	got, err := Parse("f", []byte(`
[[rule]]
id = "a"
owner = "o"
comment = "c"
created = 2026-11-02
expires = 2027-05-01
mode = "shadow"
priority = 7
action = "tempfail"
reason = "other"
match = {client = ["192.0.2.7", "2001:db8::/32"], listener = ["mta"]}

[[rule]]
id = "b"
owner = "o"
comment = "c"
created = 2026-11-02
expires = "never"
mode = "enforce"
action = "accept"
reason = "mailing_list"
  [rule.match]
  author = ["A.example", "org:b.example"]
  spf_pass = [".c.example"]
  dkim_pass = ["d.example"]
  rcpt_domain = ["e.example"]
  result = ["fail", "temperror"]
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.Rule{{
		ID: "a", Owner: "o", Comment: "c", Created: midnight(2026, 11, 2), Expires: midnight(2027, 5, 1),
		Mode: policy.Shadow, Priority: 7, Action: policy.RuleTempfail, Reason: policy.Other,
		Match: policy.Match{
			Client:   []pattern.Network{pattern.NetworkOf(netip.MustParsePrefix("192.0.2.7/32")), pattern.NetworkOf(netip.MustParsePrefix("2001:db8::/32"))},
			Listener: []string{"mta"},
		},
		File: "f", Line: 2,
	}, {
		ID: "b", Owner: "o", Comment: "c", Created: midnight(2026, 11, 2),
		Mode: policy.Enforce, Priority: 100, Action: policy.RuleAccept, Reason: policy.MailingList,
		Match: policy.Match{
			Author: patterns(t, "a.example", "org:b.example"), SPFPass: patterns(t, ".c.example"),
			DKIMPass: patterns(t, "d.example"), RcptDomain: patterns(t, "e.example"), Result: []string{"fail", "temperror"},
		},
		File: "f", Line: 14,
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse = \n%+v\nwant\n%+v", got, want)
	}
}

// everyKey is a rule with each key of [rule.match]. Each has an item of its own, so
// that none can take the place of another.
var everyKey = ruleFile("a")[:strings.Index(ruleFile("a"), "match")] + `idle = "45d"
report_comment = "known relay"
sample = 0.25
[rule.match]
client = ["192.0.2.1"]
iprev = ["iprev.example"]
spf_pass = ["spf-pass.example"]
dkim_pass = ["dkim-pass.example"]
arc_pass = ["arc-pass.example"]
spf = ["fail", "softfail"]
authenticated = false
listener = ["mta"]
tls = true
helo = ["helo.example"]
mail_from = ["mail-from.example"]
null_path = false
time = ["22:00-06:00", "12:00-24:00"]
weekday = ["sun", "sat"]
tz = "Europe/Berlin"
list_id = ["list-id.example"]
list_headers = true
auto_submitted = false
author = ["org:header-from.example"]
policy_domain = [".policy-domain.example"]
result = ["fail"]
requested = ["none", "reject"]
from_field = ["one", "several_domains"]
body_changed = true
history_min = 0
history_max = 7
rcpt_domain = ["rcpt.example"]
not_client = ["192.0.2.2"]
not_iprev = ["no-iprev.example"]
not_spf_pass = ["no-spf-pass.example"]
not_dkim_pass = ["no-dkim-pass.example"]
not_helo = ["no-helo.example"]
not_mail_from = ["no-mail-from.example"]
not_list_id = ["no-list-id.example"]
not_author = ["no-header-from.example"]
not_policy_domain = ["no-policy-domain.example"]
not_rcpt_domain = ["no-rcpt.example"]
`

// passKeys is a rule with the keys about mail that passes, which do not go with all
// others.
var passKeys = strings.Replace(ruleFile("b"), "match = {result = [\"fail\"]}", "[rule.match]\nresult = [\"pass\"]\npass_by = [\"spf\", \"both\"]\nearlier_spf_fail = true", 1)

// everyTest is a rule with each key of [[rule.test]].
const everyTest = relayRule + `[[rule.test]]
given = {author = ["A@B.example", "c.example"], from_field = "several_fields", policy = "reject", policy_domain = "b.example", result = "permerror", client = "2001:db8::1", name = "n.example", helo = "h.example", mail_from = "x@y@m.example", rcpt = "r.example", listener = "mta", spf = "softfail", dkim = ["pass:d.example", "body:e.example"], arc = "s.example", list_id = "l.example", list_headers = true, auto_submitted = true, tls = true, earlier_spf_fail = true, history = 7, time = 2026-11-02T23:00:00+01:00, profile = "conformant"}
expect = {rule = "", applied = "tempfail", reason = ""}
[[rule.test]]
given = {null_path = true, time = 2026-11-02T22:00:00}
expect.reason = "mailing_list"
`

func TestEveryKeyOfAMatchIsReadIntoItsField(t *testing.T) {
	rules, err := Parse("f", []byte(everyKey))
	if err != nil {
		t.Fatal(err)
	}
	if r := rules[0]; r.Idle != 45*24*time.Hour || r.ReportComment != "known relay" || r.Sample != 25 {
		t.Errorf("idle %v, report_comment %q, sample %d; want 1080h, as written, and 25", r.Idle, r.ReportComment, r.Sample)
	}
	got, err := json.Marshal(rules[0].Match)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"client":["192.0.2.1/32"],"iprev":["iprev.example"],"spf_pass":["spf-pass.example"],"dkim_pass":["dkim-pass.example"],` +
		`"arc_pass":["arc-pass.example"],"spf":["fail","softfail"],"authenticated":false,"listener":["mta"],"tls":true,"helo":["helo.example"],"mail_from":["mail-from.example"],` +
		`"null_path":false,"time":["22:00-06:00","12:00-24:00"],"weekday":["sun","sat"],"tz":"Europe/Berlin","list_id":["list-id.example"],"list_headers":true,` +
		`"auto_submitted":false,"author":["org:header-from.example"],"policy_domain":[".policy-domain.example"],"result":["fail"],` +
		`"requested":["none","reject"],"from_field":["one","several_domains"],"body_changed":true,"history_min":0,"history_max":7,` +
		`"rcpt_domain":["rcpt.example"],"not":{"client":["192.0.2.2/32"],"iprev":["no-iprev.example"],"spf_pass":["no-spf-pass.example"],` +
		`"dkim_pass":["no-dkim-pass.example"],"helo":["no-helo.example"],"mail_from":["no-mail-from.example"],` +
		`"list_id":["no-list-id.example"],"author":["no-header-from.example"],"policy_domain":["no-policy-domain.example"],` +
		`"rcpt_domain":["no-rcpt.example"]}}`
	if string(got) != want {
		t.Errorf("match = %s; want %s", got, want)
	}
}

func TestKeysAboutPassAreReadIntoTheirFields(t *testing.T) {
	rules, err := Parse("f", []byte(passKeys))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(rules[0].Match)
	if want := `{"result":["pass"],"pass_by":["spf","both"],"earlier_spf_fail":true}`; err != nil || string(got) != want {
		t.Errorf("match = %s, %v; want %s", got, err, want)
	}
}

func TestATestIsReadAsWritten(t *testing.T) {
	rules, err := Parse("f", []byte(everyTest))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 2, 22, 0, 0, 0, time.UTC)
	rule, asPublished, list := "", policy.AsPublished, policy.MailingList
	want := []policy.Test{{
		Line: 12,
		Given: policy.Given{
			Author: []string{"b.example", "c.example"}, FromField: policy.FromSeveralFields, Policy: "reject", PolicyDomain: "b.example", Result: "permerror",
			Client: netip.MustParseAddr("2001:db8::1"), Name: "n.example", Helo: "h.example", MailFrom: "m.example", Rcpt: []string{"r.example"}, Listener: "mta",
			SPF: "softfail", DKIM: []string{"pass:d.example", "body:e.example"}, ARC: []string{"s.example"}, ListID: "l.example", ListHeaders: true,
			Automatic: true, TLS: true, EarlierSPFFail: true, History: 7, Time: at, Profile: policy.Conformant,
		},
		Expect: policy.Expect{Rule: &rule, Applied: "tempfail", Reason: &asPublished},
	}, {Line: 15, Given: policy.Given{NullPath: true, Time: at}, Expect: policy.Expect{Reason: &list}}}
	if got := rules[0].Tests; !reflect.DeepEqual(got, want) {
		t.Errorf("tests = \n%+v\nwant\n%+v", got, want)
	}
}

// ruleFile is the text of a rule that is good.
func ruleFile(id string) string {
	return fmt.Sprintf("[[rule]]\nid = %q\nowner = \"o\"\ncreated = 2026-11-02\nmode = \"enforce\"\naction = \"reject\"\nmatch = {result = [\"fail\"]}\n", id)
}

// ruleDir makes a directory with these files.
func ruleDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The order in which rules are tried does not depend on files.
func TestRuleFilesAreReadByTheirNames(t *testing.T) {
	dir := ruleDir(t, map[string]string{
		"20-b.toml": ruleFile("second"), "10-a.toml": ruleFile("first") + ruleFile("too"), "30.toml": "# none\n",
		".#10-a.toml": "not TOML", "10-a.toml~": "not TOML", "README": "not TOML",
	})
	rules, err := loaded(Load(dir, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rules {
		got = append(got, fmt.Sprintf("%s %s:%d", r.ID, filepath.Base(r.File), r.Line))
	}
	want := []string{"first 10-a.toml:1", "second 20-b.toml:1", "too 10-a.toml:8"}
	if !slices.Equal(got, want) {
		t.Errorf("Load = %q; want %q", got, want)
	}
}

func TestADirectoryWithoutFilesHasNoRulesAndAMissingOneIsAnError(t *testing.T) {
	if rules, err := loaded(Load(t.TempDir(), Options{})); len(rules) != 0 || err != nil {
		t.Errorf("Load of an empty directory = %v, %v; want no rules", rules, err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "absent"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of no directory = %v; want %v", err, os.ErrNotExist)
	}
}

func TestProblemsOfAllRuleFilesAreReportedTogether(t *testing.T) {
	dir := ruleDir(t, map[string]string{
		"1.toml": ruleFile("same"),
		"2.toml": "# two\n" + ruleFile("same"),
		"3.toml": strings.Replace(ruleFile("other"), "owner", "ownr", 1),
		"4.toml": strings.Repeat("#\n", tomlfile.MaxFile),
		"5.toml": "rule",
	})
	if err := syscall.Mkfifo(filepath.Join(dir, "6.toml"), 0o600); err != nil {
		t.Fatal(err)
	}
	rules, err := loaded(Load(dir, Options{}))
	if rules != nil || err == nil {
		t.Fatalf("Load = %v, %v; want no rules and an error", rules, err)
	}
	want := strings.Join([]string{
		`/2.toml:3: rule.id: "same" is the id of the rule at /1.toml:1; give each rule its own id`,
		`/3.toml:3: rule.ownr: unknown key; did you mean "owner"?`,
		`/4.toml: is larger than 1MiB; is this the right file?`,
		`/5.toml:1: expected '=' after key; texts, durations and sizes are written in double quotes`,
		`/6.toml: is not a file; remove it, or choose another name`,
	}, "\n")
	if got := strings.ReplaceAll(err.Error(), dir, ""); got != want {
		t.Errorf("Load = \n%s\nwant\n%s", got, want)
	}
}

func TestTooManyRulesAreRefused(t *testing.T) {
	files := make(map[string]string)
	for i := range maxRuleFiles {
		text := ""
		for j := range policy.MaxRules / maxRuleFiles {
			text += ruleFile(fmt.Sprintf("r-%d-%d", i, j))
		}
		files[fmt.Sprintf("%03d.toml", i)] = text
	}
	files["000.toml"] += ruleFile("more")
	if _, err := Load(ruleDir(t, files), Options{}); err == nil || !strings.Contains(err.Error(), "has 10001 rules, more than 10000; ") {
		t.Errorf("Load of one rule more = %v; want an error", err)
	}
	files["more.toml"] = ""
	if _, err := Load(ruleDir(t, files), Options{}); err == nil || !strings.Contains(err.Error(), "has 201 rule files, more than 200; ") {
		t.Errorf("Load of one file more = %v; want an error", err)
	}
}

func TestARuleForAListenerThatDoesNotExistIsReported(t *testing.T) {
	c := &config.Config{Listeners: []config.Listener{{Name: "mta"}, {Name: "inbound"}}}
	o := OptionsOf(c, midnight(2026, 11, 3))
	good := strings.Replace(ruleFile("a"), "result", `listener = ["mta", "inbound"], result`, 1)
	if _, err := Load(ruleDir(t, map[string]string{"f.toml": good}), o); err != nil {
		t.Errorf("Load = %v; want no error", err)
	}
	dir := ruleDir(t, map[string]string{"f.toml": strings.Replace(good, `"inbound"`, `"inbond"`, 1)})
	_, err := Load(dir, o)
	want := dir + `/f.toml:7: rule.match.listener: unknown word "inbond"; did you mean "inbound"?`
	if err == nil || err.Error() != want {
		t.Errorf("Load = \n%v\nwant\n%s", err, want)
	}
}

// keysExplained returns the keys of a rule file that have an explanation in the
// line above them where they are.
func keysExplained(text string) []string {
	var keys []string
	table := ""
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if name, ok := strings.CutPrefix(line, "["); ok {
			table = strings.Trim(name, "[]")
		}
		if name, _, ok := strings.Cut(line, " = "); ok && !strings.HasPrefix(line, "#") && strings.HasPrefix(lines[i-1], "# ") {
			keys = append(keys, table+"."+name)
		}
	}
	return keys
}

func TestTheExampleRulesHaveEveryKeyExplainedAndAreOff(t *testing.T) {
	s, err := Load(filepath.Dir(exampleRules), OptionsOf(&config.Config{Listeners: []config.Listener{{Name: "mta"}}}, midnight(2026, 11, 2)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Rules.List() {
		if r.Mode != policy.Off || len(r.Tests) == 0 {
			t.Errorf("the example %q is %v and has %d tests; want off, and tests", r.ID, r.Mode, len(r.Tests))
		}
	}
	if len(s.Maps) != 1 || s.Maps[0].Entries == 0 {
		t.Errorf("maps of the example = %v; want one with entries", s.Maps)
	}
	data, err := os.ReadFile(exampleRules)
	if err != nil {
		t.Fatal(err)
	}
	explained := keysExplained(string(data))
	for _, key := range Keys() {
		if !slices.Contains(explained, key) {
			t.Errorf("%s does not explain %s in the line above it", exampleRules, key)
		}
	}
}

// As whoever copies them would have them: enforced, and without a warning.
func TestTheExampleRulesWorkWhenTheyAreEnforced(t *testing.T) {
	data, err := os.ReadFile(exampleRules)
	if err != nil {
		t.Fatal(err)
	}
	dir := ruleDir(t, map[string]string{"example.toml": strings.ReplaceAll(string(data), `mode = "off"`, `mode = "enforce"`)})
	partners, err := os.ReadFile(filepath.Join(filepath.Dir(exampleRules), "maps/partners.txt"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "maps/partners.txt", string(partners))
	s, err := Load(dir, OptionsOf(&config.Config{Listeners: []config.Listener{{Name: "mta"}}, Reports: config.Reports{Schema: "rfc9990"}}, midnight(2026, 11, 2)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Findings {
		if f.Level != policy.Remark {
			t.Errorf("%s:%d: %v; want no finding but remarks", f.File, f.Line, f)
		}
	}
}

func TestTheRulesInTheDocumentationAreRulesWhoseTestsPass(t *testing.T) {
	text, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	snippets := regexp.MustCompile("(?ms)^```toml\n(.*?)^```").FindAllStringSubmatch(string(text), -1)
	if len(snippets) < 4 {
		t.Fatalf("docs/rules.md has %d snippets; want 4", len(snippets))
	}
	o := OptionsOf(&config.Config{Listeners: []config.Listener{{Name: "mta"}}, Reports: config.Reports{Schema: "rfc9990"}}, midnight(2026, 11, 2))
	all := make(map[string]string)
	for i, s := range snippets {
		all[fmt.Sprintf("%02d.toml", i)] = s[1]
	}
	dir := ruleDir(t, all)
	write(t, dir, "maps/partners.txt", "partner.example\n")
	s, err := Load(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Rules.Len() != len(snippets) || s.Tests < len(snippets) {
		t.Errorf("docs/rules.md has %d rules with %d tests; want %d, and a test of each", s.Rules.Len(), s.Tests, len(snippets))
	}
	for _, f := range s.Findings {
		if f.Level != policy.Remark {
			t.Errorf("docs/rules.md: rule %s: %v; want no finding but remarks", f.Rule, f)
		}
	}
	for _, f := range newRuleText("rule", nil).match() {
		name, _ := strings.CutPrefix(f.Key, "rule.match.")
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/rules.md does not say when %s holds", name)
		}
	}
	for _, code := range policy.Codes() {
		if !strings.Contains(string(text), "`"+code+"`") {
			t.Errorf("docs/rules.md does not explain the finding %s", code)
		}
	}
}

func loaded(set *Set, err error) ([]policy.Rule, error) {
	if err != nil {
		return nil, err
	}
	return set.Rules.List(), nil
}

// failed is the verdict on a message that its author domain asks to reject.
var failed = dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100}

func TestCreatedAndExpiresCanHaveATimeOfDay(t *testing.T) {
	text := strings.NewReplacer("created = 2026-11-02", "created = 2026-11-02T18:00:00+01:00", "expires = 2027-05-01", "expires = 2027-05-01T18:00:00.5Z")
	rules, err := Parse("f", []byte(text.Replace(relayRule)))
	if err != nil {
		t.Fatal(err)
	}
	want := [2]time.Time{time.Date(2026, 11, 2, 17, 0, 0, 0, time.UTC), time.Date(2027, 5, 1, 18, 0, 0, 5e8, time.UTC)}
	if got := [2]time.Time{rules[0].Created, rules[0].Expires}; got != want {
		t.Errorf("created and expires = %v; want %v", got, want)
	}
	again, err := Parse("f", []byte(Text(rules[0])))
	if err != nil || !reflect.DeepEqual(placeless(again[0]), placeless(rules[0])) {
		t.Errorf("Parse(%s) = %+v, %v; want the same rule", Text(rules[0]), again, err)
	}
}

// A message of a test that gives no time comes while the rule is there.
func TestTestWithoutATimeComesWhenTheRuleIsMade(t *testing.T) {
	text := strings.NewReplacer("created = 2026-11-02", "created = 2026-11-02T18:00:00Z", "expires = 2027-05-01", "expires = 2026-11-02T19:00:00Z").Replace(relayRule) +
		"[[rule.test]]\ngiven = {rcpt = \"example.edu\", policy = \"reject\", client = \"192.0.2.1\"}\nexpect = {rule = \"relay\"}\n" +
		"[[rule.test]]\ngiven = {rcpt = \"example.edu\", policy = \"reject\", client = \"192.0.2.1\", time = 2026-11-02T19:00:00Z}\nexpect = {rule = \"\"}\n"
	rules, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.NewRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range ruletest.Run(set) {
		t.Errorf("%s", f.Text())
	}
}
