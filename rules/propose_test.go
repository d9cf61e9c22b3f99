package rules

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// addBook is what rules add knows on a host without rules.
func addBook(t *testing.T) *book {
	t.Helper()
	text := fmt.Sprintf("authserv_id = \"mx.receiver.example\"\nstate_dir = %q\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofile = \"strict\"\n", t.TempDir())
	cfg, err := config.Parse("dmarcgate.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &book{cfg: cfg, opts: site.RuleOptions(cfg)}
}

var someWishes = Wishes{QueueID: "4XyZ1", Owner: "postmaster@receiver.example", Days: 90}

func TestRulesAddChoosesNarrowestAnchor(t *testing.T) {
	tests := []struct {
		name  string
		row   results.Row
		key   string
		value string
	}{
		{"a forwarder that signs", resultstest.Forwarded(resultstest.SignedBy("alumni.example"), resultstest.SPFOf("srs.alumni.example")), "dkim_pass", "alumni.example"},
		{"a signature of the author does not count", resultstest.Forwarded(resultstest.SignedBy("mail.bank.example"), resultstest.SignedBy("alumni.example")), "dkim_pass", "alumni.example"},
		{"a key in test mode does not count", resultstest.Forwarded(resultstest.SignedBy("alumni.example"), func(r *results.Row) { r.Facts.DKIM[0].Testing = true }), "iprev", "mx.alumni.example"},
		{"a mailer for everybody does not count", resultstest.Forwarded(resultstest.SignedBy("gmail.com"), resultstest.SPFOf("srs.alumni.example")), "spf_pass", "srs.alumni.example"},
		{"its envelope sender", resultstest.Forwarded(resultstest.SPFOf("srs.alumni.example")), "spf_pass", "srs.alumni.example"},
		{"a tenant of a mailer signs for itself", resultstest.Forwarded(resultstest.SignedBy("alumni.onmicrosoft.com")), "dkim_pass", "alumni.onmicrosoft.com"},
		{"a mailer's client does not count", resultstest.Forwarded(func(r *results.Row) { r.Facts.ClientName = "mail-1.google.com" }), "client", "192.0.2.3/32"},
		{"SPF of a mailer for everybody does not count", resultstest.Forwarded(resultstest.SPFOf("gmail.com")), "iprev", "mx.alumni.example"},
		{"sealers that recorded a pass", resultstest.Forwarded(resultstest.SealedBy("lists.example", true)), "arc_pass", "lists.example"},
		{"sealers that recorded nothing", resultstest.Forwarded(resultstest.SealedBy("lists.example", false)), "iprev", "mx.alumni.example"},
		{"the client's name", resultstest.Forwarded(), "iprev", "mx.alumni.example"},
		{"the client's address", resultstest.Forwarded(resultstest.Nameless), "client", "192.0.2.3/32"},
		{"the client's address, IPv6", resultstest.Forwarded(resultstest.Nameless, func(r *results.Row) { r.Facts.Client = netip.MustParseAddr("2001:db8::7") }), "client", "2001:db8::7/128"},
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
			r := resultstest.Rules(t, a.TOML).Rules.List()[0]
			if r.Mode != policy.Shadow || r.Action != policy.RuleAccept || len(r.Tests) != 2 || r.Idle != addIdle {
				t.Errorf("rule = %+v; want one in shadow mode that accepts, with two tests", r)
			}
			if want := r.Created.AddDate(0, 0, 90); !r.Expires.Equal(want) {
				t.Errorf("expires %v; want %v", r.Expires, want)
			}
			if got := term.Texts(r.Match.Author); !slices.Equal(got, []string{"bank.example"}) || !slices.Equal(r.Match.Requested, []string{"reject"}) {
				t.Errorf("author %q, requested %q; want those of the message", got, r.Match.Requested)
			}
			if got := term.Texts(r.Match.RcptDomain); !slices.Equal(got, []string{"receiver.example"}) {
				t.Errorf("rcpt_domain %q; want that of the message", got)
			}
		})
	}
}

func TestRulesAddRejectsMailWithoutNeed(t *testing.T) {
	author := func(f func(*policy.Author)) func(*results.Row) {
		return func(r *results.Row) { f(&r.Facts.Authors[0]) }
	}
	tests := []struct {
		name string
		rows []results.Row
		want string
	}{
		{"no message", nil, "no message with the queue id"},
		{"explain --qid shows how", []results.Row{resultstest.Forwarded(author(func(a *policy.Author) { a.Verdict.Status = dmarc.Pass }))}, "did not fail"},
		{"no record", []results.Row{resultstest.Forwarded(author(func(a *policy.Author) { a.Verdict.Status = dmarc.StatusNone }))}, "did not fail"},
		{"p=none", []results.Row{resultstest.Forwarded(author(func(a *policy.Author) { a.Verdict.Policy = dmarc.None }))}, "p=none"},
		{"temperror", []results.Row{resultstest.Forwarded(author(func(a *policy.Author) { a.Verdict.Status = dmarc.TempError }))}, "temperror"},
		{"not evaluated", []results.Row{resultstest.Forwarded(func(r *results.Row) { r.Facts.Skip = policy.Loopback })}, "not evaluated (loopback)"},
		{"no author", []results.Row{resultstest.Forwarded(func(r *results.Row) { r.Facts.Authors, r.Facts.FromField = nil, policy.FromMissing })}, "missing"},
		{"of another program", []results.Row{resultstest.Forwarded(func(r *results.Row) { r.State = results.Imported })}, "another program"},
		{"only the network is left", []results.Row{resultstest.Forwarded(resultstest.Nameless, func(r *results.Row) {
			r.Facts.Client, r.Facts.Missing = netip.MustParseAddr("192.0.2.0"), policy.MissingClient
		})}, "only the network"},
		{"no address", []results.Row{resultstest.Forwarded(resultstest.Nameless, func(r *results.Row) { r.Facts.Client = netip.Addr{} })}, "no address"},
		{"two authors, one of whom is not evaluated", []results.Row{resultstest.Forwarded(func(r *results.Row) {
			r.Facts.FromField = policy.FromSeveralDomains
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
// with tests that pass, or there is none.
func TestRulesAddProposalLoads(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := addBook(t)
	made := make(map[string]int)
	for i := range 2000 {
		row := randomRow(rng)
		a, err := b.propose([]results.Row{row}, Wishes{QueueID: hostileText(rng), Owner: hostileText(rng) + "x", Days: 1 + rng.IntN(400)})
		if err != nil {
			made["none"]++
			continue
		}
		made[a.Key]++
		set := resultstest.Rules(t, a.TOML)
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
		if d := (policy.Settings{Profile: policy.Strict, EnforceShare: 100, Rules: rules}).Decide(row.Facts); d.Rule != r.ID || d.Action != policy.Accept {
			t.Fatalf("row %d: the message is decided %+v; want it accepted by the rule\n%s", i, d, a.TOML)
		}
	}
	t.Log(made)
	for _, key := range []string{"none", "dkim_pass", "spf_pass", "arc_pass", "iprev", "client"} {
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
	r := resultstest.Forwarded()
	f := &r.Facts
	f.Client = pick(rng, netip.Addr{}, netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("203.0.113.250"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.9"))
	f.ClientName, f.Helo, f.NullPath = randomName(rng), randomName(rng), rng.IntN(4) == 0
	f.SPF = policy.SPF{Result: pick(rng, "pass", "fail", "none"), Domain: randomName(rng)}
	f.MailFrom = f.SPF.Domain
	for range rng.IntN(3) {
		f.DKIM = append(f.DKIM, policy.DKIM{Result: pick(rng, "pass", "fail"), Domain: randomName(rng), Testing: rng.IntN(8) == 0})
	}
	if rng.IntN(3) == 0 {
		resultstest.SealedBy(randomName(rng), rng.IntN(2) == 0)(&r)
	}
	f.IsList, f.TLS, f.Automatic = rng.IntN(2) == 0, rng.IntN(2) == 0, rng.IntN(2) == 0
	f.Recipients = nil
	for i := range rng.IntN(25) {
		f.Recipients = append(f.Recipients, pick(rng, fmt.Sprintf("r%d.example", i), fmt.Sprintf("R%d.example", i)[1:]+".example", ""))
	}
	if rng.IntN(3) == 0 {
		f.Authors = append(f.Authors, f.Authors[0])
		f.FromField, f.Authors[1].Domain, f.Authors[1].Org = policy.FromSeveralDomains, randomName(rng), ""
		f.Authors[1].Verdict.Policy = pick(rng, dmarc.None, dmarc.Quarantine, dmarc.Reject)
		f.Authors[1].Verdict.Status = pick(rng, dmarc.Pass, dmarc.Fail, dmarc.Fail, dmarc.PermError)
	}
	f.Version = uint8(rng.IntN(2))
	f.Missing = policy.MissingFacts(rng.IntN(8)) &^ pick(rng, 0, policy.MissingClient)
	return r
}
