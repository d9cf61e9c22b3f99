package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/config/rulefile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// forwarded is a message of a bank that came through somebody else and failed.
func forwarded() results.Row {
	return results.Row{
		Facts: policy.Facts{
			Time: time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond), Listener: "mta", QueueID: "4XyZ1", Version: policy.FactsVersion, Seed: 7,
			Client: netip.MustParseAddr("192.0.2.3"), ClientName: "mx.alumni.example", Helo: "mx.alumni.example", MailFrom: "bank.example",
			From: policy.FromOneMailbox, Recipients: []string{"receiver.example"},
			SPF: policy.SPF{Result: "fail", Domain: "bank.example"},
			Authors: []policy.Author{{
				Domain: "bank.example", Org: "bank.example", PolicyDomain: "bank.example", Source: "author",
				Verdict: dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100},
			}},
		},
		Decision: policy.Decision{Action: policy.Refuse, Disposition: policy.Reject, Requested: dmarc.Reject, Author: "bank.example", Reason: "no aligned SPF or DKIM pass"},
	}
}

// signedBy adds a signature that passed.
func signedBy(d string) func(*results.Row) {
	return func(r *results.Row) {
		r.Facts.DKIM = append(r.Facts.DKIM, policy.DKIM{Result: "pass", Domain: d, Selector: "s", HeaderOK: true})
	}
}

func spfOf(d string) func(*results.Row) {
	return func(r *results.Row) {
		r.Facts.MailFrom, r.Facts.SPF = d, policy.SPF{Result: "pass", Domain: d}
	}
}

// sealedBy adds a chain; the first sealer recorded a pass for the author if it
// does so.
func sealedBy(d string, records bool) func(*results.Row) {
	return func(r *results.Row) {
		s := policy.Sealer{Domain: d, Selector: "s"}
		if records {
			s.Recorded = []policy.Recorded{{Method: "dmarc", Result: "pass", Domain: "bank.example"}}
		}
		r.Facts.ARC = policy.ARC{Result: "pass", Sealers: []policy.Sealer{s}}
	}
}

func nameless(r *results.Row) { r.Facts.ClientName = "" }

func with(changes ...func(*results.Row)) results.Row {
	r := forwarded()
	for _, c := range changes {
		c(&r)
	}
	return r
}

// addBook is what rules add knows on a host without rules.
func addBook(t *testing.T) *ruleBook {
	t.Helper()
	cfg, err := config.Load(toolConfig(t, "127.0.0.1:53"))
	if err != nil {
		t.Fatal(err)
	}
	return &ruleBook{cfg: cfg, opts: site.RuleOptions(cfg)}
}

var someWishes = wishes{qid: "4XyZ1", owner: "postmaster@receiver.example", days: 90}

// loadsAsItIs puts a text into a directory, and reads it as the daemon does.
func loadsAsItIs(t *testing.T, text string) *rulefile.Set {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := rulefile.Load(dir, rulefile.Options{Options: lint.Options{Now: time.Now(), Listeners: []string{"mta"}}})
	if err != nil {
		t.Fatalf("the rule does not load: %v\n%s", err, text)
	}
	return set
}

func TestTheNarrowestAnchorIsChosen(t *testing.T) {
	tests := []struct {
		name  string
		row   results.Row
		key   string
		value string
	}{
		{"a forwarder that signs", with(signedBy("alumni.example"), spfOf("srs.alumni.example")), "dkim_pass", "alumni.example"},
		{"a signature of the author does not count", with(signedBy("mail.bank.example"), signedBy("alumni.example")), "dkim_pass", "alumni.example"},
		{"a key in test mode does not count", with(signedBy("alumni.example"), func(r *results.Row) { r.Facts.DKIM[0].Testing = true }), "iprev", "mx.alumni.example"},
		{"a mailer for everybody does not count", with(signedBy("gmail.com"), spfOf("srs.alumni.example")), "spf_pass", "srs.alumni.example"},
		{"its envelope sender", with(spfOf("srs.alumni.example")), "spf_pass", "srs.alumni.example"},
		{"a tenant of a mailer signs for itself", with(signedBy("alumni.onmicrosoft.com")), "dkim_pass", "alumni.onmicrosoft.com"},
		{"a mailer's client does not count", with(func(r *results.Row) { r.Facts.ClientName = "mail-1.google.com" }), "client_ip", "192.0.2.3/32"},
		{"SPF of a mailer for everybody does not count", with(spfOf("gmail.com")), "iprev", "mx.alumni.example"},
		{"sealers that recorded a pass", with(sealedBy("lists.example", true)), "arc_pass", "lists.example"},
		{"sealers that recorded nothing", with(sealedBy("lists.example", false)), "iprev", "mx.alumni.example"},
		{"the client's name", with(), "iprev", "mx.alumni.example"},
		{"the client's address", with(nameless), "client_ip", "192.0.2.3/32"},
		{"the client's address, IPv6", with(nameless, func(r *results.Row) { r.Facts.Client = netip.MustParseAddr("2001:db8::7") }), "client_ip", "2001:db8::7/128"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := addBook(t).propose([]results.Row{tt.row}, someWishes)
			if err != nil {
				t.Fatal(err)
			}
			if a.Key != tt.key || !slices.Equal(a.Value, []string{tt.value}) {
				t.Errorf("anchor = %s %q; want %s %q\n%s", a.Key, a.Value, tt.key, tt.value, a.TOML)
			}
			r := loadsAsItIs(t, a.TOML).Rules.List()[0]
			if r.Mode != policy.Shadow || r.Action != policy.RuleAccept || len(r.Tests) != 2 || r.Idle != addIdle {
				t.Errorf("rule = %+v; want one in shadow mode that accepts, with two tests", r)
			}
			if want := r.Created.AddDate(0, 0, 90); !r.Expires.Equal(want) {
				t.Errorf("expires %v; want %v", r.Expires, want)
			}
			if got := term.Texts(r.Match.HeaderFrom); !slices.Equal(got, []string{"bank.example"}) || !slices.Equal(r.Match.Requested, []string{"reject"}) {
				t.Errorf("header_from %q, requested %q; want those of the message", got, r.Match.Requested)
			}
			if got := term.Texts(r.Match.RcptDomain); !slices.Equal(got, []string{"receiver.example"}) {
				t.Errorf("rcpt_domain %q; want that of the message", got)
			}
		})
	}
}

func TestMailThatNeedsNoRuleOrCanHaveNoneIsRefused(t *testing.T) {
	author := func(f func(*policy.Author)) func(*results.Row) {
		return func(r *results.Row) { f(&r.Facts.Authors[0]) }
	}
	tests := []struct {
		name string
		rows []results.Row
		want string
	}{
		{"no message", nil, "no message with the queue id"},
		{"it passed", []results.Row{with(author(func(a *policy.Author) { a.Verdict.Status = dmarc.Pass }))}, "did not fail"},
		{"no record", []results.Row{with(author(func(a *policy.Author) { a.Verdict.Status = dmarc.StatusNone }))}, "did not fail"},
		{"p=none", []results.Row{with(author(func(a *policy.Author) { a.Verdict.Policy = dmarc.None }))}, "p=none"},
		{"temperror", []results.Row{with(author(func(a *policy.Author) { a.Verdict.Status = dmarc.TempError }))}, "temperror"},
		{"not evaluated", []results.Row{with(func(r *results.Row) { r.Facts.Skip = policy.Loopback })}, "not evaluated (loopback)"},
		{"no author", []results.Row{with(func(r *results.Row) { r.Facts.Authors, r.Facts.From = nil, policy.FromMissing })}, "missing"},
		{"of another program", []results.Row{with(func(r *results.Row) { r.State = results.Imported })}, "another program"},
		{"only the network is left", []results.Row{with(nameless, func(r *results.Row) {
			r.Facts.Client, r.Facts.Lacks = netip.MustParseAddr("192.0.2.0"), policy.LackClient
		})}, "only the network"},
		{"no address", []results.Row{with(nameless, func(r *results.Row) { r.Facts.Client = netip.Addr{} })}, "no address"},
		{"two authors, one of whom is not judged", []results.Row{with(func(r *results.Row) {
			r.Facts.From = policy.FromSeveralDomains
			r.Facts.Authors = append(r.Facts.Authors, policy.Author{Domain: "other.example", Verdict: dmarc.Verdict{Status: dmarc.PermError}})
		})}, "permerror"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := addBook(t).propose(tt.rows, someWishes)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("propose() = %+v, %v; want an error with %q", a, err, tt.want)
			}
		})
	}
}

// Whatever a message is like: there is a rule that loads, without errors and
// with green tests, or there is none.
func TestWhatIsProposedAlwaysLoads(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := addBook(t)
	made := make(map[string]int)
	for i := range 2000 {
		row := randomRow(rng)
		a, err := b.propose([]results.Row{row}, wishes{qid: hostileText(rng), owner: hostileText(rng) + "x", days: 1 + rng.IntN(400)})
		if err != nil {
			made["none"]++
			continue
		}
		made[a.Key]++
		set := loadsAsItIs(t, a.TOML)
		for _, line := range strings.Split(a.TOML, "\n") {
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("row %d: a line has %q", i, line)
			}
		}
		r := set.Rules.List()[0]
		if r.Mode != policy.Shadow || set.Rules.Len() != 1 {
			t.Fatalf("row %d: %d rules, mode %v; want one in shadow mode", i, set.Rules.Len(), r.Mode)
		}
		r.Mode = policy.Enforce
		rules, err := policy.NewRules([]policy.Rule{r})
		if err != nil {
			t.Fatal(err)
		}
		if d := (policy.Settings{Profile: policy.Strict, Rules: rules}).Decide(row.Facts); d.Rule != r.ID || d.Action != policy.Accept {
			t.Fatalf("row %d: the message is decided %+v; want it accepted by the rule\n%s", i, d, a.TOML)
		}
	}
	t.Log(made)
	for _, key := range []string{"none", "dkim_pass", "spf_pass", "arc_pass", "iprev", "client_ip"} {
		if made[key] == 0 {
			t.Errorf("no row came to %s: %v", key, made)
		}
	}
}

func pick[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

func hostileText(rng *rand.Rand) string {
	return pick(rng, "4XyZ1", "", `"`, `\`, "a\nb", "]]\n[[rule]]", "\x00\x1b[31m", "é", "'''", `"""`, "# x", strings.Repeat("y", 3000))
}

func randomName(rng *rand.Rand) string {
	return pick(rng, "bank.example", "mail.bank.example", "alumni.example", "lists.alumni.example", "gmail.com", "example", "co.uk", "a.co.uk", "",
		"_x.example", "xn--bcher-kva.example", strings.Repeat("a", 60)+".example", "192.0.2.3", "1.2.3", "nothing.invalid", hostileText(rng))
}

func randomRow(rng *rand.Rand) results.Row {
	r := forwarded()
	f := &r.Facts
	f.Client = pick(rng, netip.Addr{}, netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("203.0.113.250"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.9"))
	f.ClientName, f.Helo, f.NullPath = randomName(rng), randomName(rng), rng.IntN(4) == 0
	f.SPF = policy.SPF{Result: pick(rng, "pass", "fail", "none"), Domain: randomName(rng)}
	f.MailFrom = f.SPF.Domain
	for range rng.IntN(3) {
		f.DKIM = append(f.DKIM, policy.DKIM{Result: pick(rng, "pass", "fail"), Domain: randomName(rng), Testing: rng.IntN(8) == 0})
	}
	if rng.IntN(3) == 0 {
		sealedBy(randomName(rng), rng.IntN(2) == 0)(&r)
	}
	f.IsList, f.TLS, f.Automatic = rng.IntN(2) == 0, rng.IntN(2) == 0, rng.IntN(2) == 0
	f.Recipients = nil
	for i := range rng.IntN(25) {
		f.Recipients = append(f.Recipients, pick(rng, fmt.Sprintf("r%d.example", i), fmt.Sprintf("R%d.example", i)[1:]+".example", ""))
	}
	if rng.IntN(3) == 0 {
		f.Authors = append(f.Authors, f.Authors[0])
		f.From, f.Authors[1].Domain, f.Authors[1].Org = policy.FromSeveralDomains, randomName(rng), ""
		f.Authors[1].Verdict.Policy = pick(rng, dmarc.None, dmarc.Quarantine, dmarc.Reject)
		f.Authors[1].Verdict.Status = pick(rng, dmarc.Pass, dmarc.Fail, dmarc.Fail, dmarc.PermError)
	}
	f.Version = uint8(rng.IntN(2))
	f.Lacks = policy.Lack(rng.IntN(8)) &^ pick(rng, 0, policy.LackClient)
	return r
}

func TestRulesAddPrintsARuleForAStoredMessage(t *testing.T) {
	row := with(signedBy("lists.example"), func(r *results.Row) { r.Facts.IsList = true })
	cfg := storeWith(t, "", row)
	code, out, stderr := command("rules", "add", "--from-qid", "4XyZ1", "--id", "my-list", "--owner", "lists@receiver.example", "-c", cfg)
	if code != 0 {
		t.Fatalf("rules add = %d, %s", code, stderr)
	}
	r := loadsAsItIs(t, out).Rules.List()[0]
	if r.ID != "my-list" || r.Owner != "lists@receiver.example" || r.Reason != policy.MailingList || len(r.Match.DKIMPass) != 1 {
		t.Errorf("rule = %+v; want the id, the owner, mailing_list, and dkim_pass", r)
	}
	code, out, _ = command("rules", "add", "--from-qid", "4XyZ1", "--json", "-c", cfg)
	var a added
	if err := json.Unmarshal([]byte(out), &a); err != nil || code != 0 || a.ID != "dkim-lists-example" || a.Key != "dkim_pass" || a.TOML == "" {
		t.Errorf("rules add --json = %d, %s, %v; want the rule", code, out, err)
	}
	if code, _, stderr := command("rules", "add", "--from-qid", "nobody", "-c", cfg); code != 1 || !strings.Contains(stderr, `"nobody"`) {
		t.Errorf("rules add of an unknown id = %d, %q; want 1", code, stderr)
	}
	if code, _, stderr := command("rules", "add", "--from-qid", "4XyZ1", "--days", "0", "-c", cfg); code != 2 {
		t.Errorf("rules add --days 0 = %d, %q; want 2", code, stderr)
	}
}

func TestAProposalFitsTheRulesThatAreThere(t *testing.T) {
	const others = `
[[rule]]
id = "dkim-lists-example"
owner = "x"
created = 2026-01-01
mode = "enforce"
priority = 300
action = "reject"
[rule.match]
header_from = ["bank.example"]
`
	dir := t.TempDir()
	path := filepath.Join(dir, "a.toml")
	if err := os.WriteFile(path, []byte(others), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := storeWith(t, "", with(signedBy("lists.example")))
	code, out, stderr := command("rules", "add", "--from-qid", "4XyZ1", "-c", cfg, "--dir", dir)
	if code != 0 {
		t.Fatalf("rules add = %d, %s", code, stderr)
	}
	set := loadsAsItIs(t, others+out)
	list := set.Rules.List()
	if list[0].ID != "dkim-lists-example-2" || list[0].Priority != 301 {
		t.Errorf("the rules are %s (%d) and %s; want the new one first, with another id", list[0].ID, list[0].Priority, list[1].ID)
	}
	if want := "# Note: the rule dkim-lists-example decides about"; !strings.Contains(out, want) {
		t.Errorf("rules add = %s\nwant %q in it", out, want)
	}
}
