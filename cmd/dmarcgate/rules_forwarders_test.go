package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// snowshoe is a spammer's mail from many of his own hosts and domains, in the
// names of others; change makes each message another one.
func snowshoe(n int, change func(i int, f *policy.Facts)) []results.Row {
	var rows []results.Row
	for i := range n {
		own := fmt.Sprintf("snow%d.example", i%17)
		victim := fmt.Sprintf("victim%d.example", i%7)
		f := resultstest.Facts(i, resultstest.Author(victim, victim))
		f.Time = time.Now().Add(-time.Hour + time.Duration(i)*time.Second)
		f.Client = netip.AddrFrom4([4]byte{203, 0, byte(i % 23), byte(i % 200)})
		f.MailFrom, f.SPF = own, policy.SPF{Result: "pass", Domain: own}
		change(i, &f)
		rows = append(rows, results.Row{Facts: f, Decision: policy.Settings{}.Decide(f), Settings: "others"})
	}
	return rows
}

func TestWhatIfProposesNoRuleForSnowshoe(t *testing.T) {
	own := func(i int) string { return fmt.Sprintf("snow%d.example", i%17) }
	listed := func(i int, f *policy.Facts) { f.IsList, f.ListID = true, "list."+own(i) }
	sealed := func(i int, f *policy.Facts) {
		f.ARC = policy.ARC{Result: "pass", Sealers: []policy.Sealer{{Domain: own(i), Selector: "s", Recorded: []policy.Recorded{{Method: "dmarc", Result: "pass", Domain: f.Authors[0].Domain}}}}}
	}
	signed := func(i int, f *policy.Facts) {
		f.DKIM = append(f.DKIM, policy.DKIM{Result: "pass", Domain: own(i), Selector: "s"})
	}
	known := func(_ int, f *policy.Facts) { f.Authors[0].History = policy.History{Messages: 50, DKIMPass: 3} }
	// ownMail is every third message in the spammer's own name.
	ownMail := func(i int, f *policy.Facts) {
		if i%3 == 0 {
			d := own(i)
			f.Authors[0] = policy.Author{Domain: d, Org: d, PolicyDomain: d, Verdict: dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedDKIM: true}}
			f.DKIM = []policy.DKIM{{Result: "pass", Domain: d, Selector: "s"}}
		}
	}
	both := func(list ...func(int, *policy.Facts)) func(int, *policy.Facts) {
		return func(i int, f *policy.Facts) {
			for _, change := range list {
				change(i, f)
			}
		}
	}
	tests := []struct {
		name   string
		change func(int, *policy.Facts)
	}{
		{"bare", both()},
		{"with List-Id", both(listed)},
		{"with List-Id and an ARC set", both(listed, sealed)},
		{"with List-Id, an ARC set and its own signature", both(listed, sealed, signed)},
		{"in the names of those whom we know", both(listed, sealed, signed, known)},
		{"with mail in its own names", both(listed, sealed, signed, ownMail)},
		{"with signatures of its victims that do not verify", both(listed, sealed, func(_ int, f *policy.Facts) {
			f.DKIM = []policy.DKIM{{Result: "fail", Domain: f.Authors[0].Domain, Selector: "s"}}
		})},
		{"without SPF", both(listed, sealed, func(_ int, f *policy.Facts) { f.SPF = policy.SPF{Result: "none"} })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := storeWith(t, "", snowshoe(300, tt.change)...)
			code, out, stderr := command("what-if", "-c", cfg, "--profile", "strict", "--json")
			var got struct {
				Tightened int64
				Readiness struct{ Forwarders []any }
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Tightened < 200 {
				t.Fatalf("what-if = %d, %v, %s, %d tightened; want the report", code, err, stderr, got.Tightened)
			}
			if n := len(got.Readiness.Forwarders); n != 0 {
				t.Errorf("what-if takes %d sources for forwarders; want none", n)
			}
			if code, out, _ := command("what-if", "-c", cfg, "--profile", "conformant"); code != 0 || strings.Contains(out, "rules add") {
				t.Errorf("what-if = %d\n%s\nwant no rule proposed", code, out)
			}
			code, out, stderr = command("rules", "add", "-c", cfg, "--from-qid", "q1", "--any-author")
			if code != 0 || !strings.Contains(stderr, "looks forged") || !strings.Contains(out, "# Note: this message looks forged") {
				t.Errorf("rules add = %d, %s\n%s\nwant that the message looks forged", code, stderr, out)
			}
		})
	}
}

// alumniRows are mail through a forwarder: of three organizations who sign, and of
// eleven who do not.
func alumniRows(change func(i int, f *policy.Facts)) []results.Row {
	var rows []results.Row
	add := func(i int, org string, status dmarc.Status) {
		p := []dmarc.Policy{dmarc.Reject, dmarc.Quarantine}[i%2]
		f := resultstest.Facts(i, resultstest.Author(org, org), resultstest.Verdict(status, p))
		f.Time = time.Now().Add(-time.Hour + time.Duration(i)*time.Second)
		f.Recipients = []string{[]string{"receiver.example", "other.example"}[i%2]}
		f.Client, f.MailFrom, f.SPF = netip.MustParseAddr("198.51.100.130"), "alumni.example", policy.SPF{Result: "pass", Domain: "alumni.example"}
		if status == dmarc.Pass {
			f.Authors[0].Verdict.AlignedDKIM = true
			f.DKIM = []policy.DKIM{{Result: "pass", Domain: org, Selector: "s"}}
		}
		change(i, &f)
		rows = append(rows, results.Row{Facts: f, Decision: policy.Settings{}.Decide(f), Settings: "others"})
	}
	for i := range 6 {
		add(200+i, fmt.Sprintf("signer%d.example", i%3), dmarc.Pass)
	}
	for i := range 55 {
		add(i, fmt.Sprintf("friend%d.example", i%11), dmarc.Fail)
	}
	return rows
}

func TestRulesAddAnyAuthorCoversForwarder(t *testing.T) {
	tests := []struct {
		name   string
		change func(i int, f *policy.Facts)
		anchor string
	}{
		{"that rewrites the envelope", func(int, *policy.Facts) {}, "spf_pass"},
		{"that signs", func(_ int, f *policy.Facts) {
			f.DKIM = append(f.DKIM, policy.DKIM{Result: "pass", Domain: "alumni.example", Selector: "a"})
		}, "dkim_pass"},
		{"with hosts that have names", func(i int, f *policy.Facts) {
			f.SPF, f.ClientName = policy.SPF{Result: "fail", Domain: f.Authors[0].Domain}, fmt.Sprintf("mx%d.alumni.example", i%4)
		}, "iprev"},
		{"with hosts that have no names", func(i int, f *policy.Facts) {
			f.SPF, f.Client = policy.SPF{Result: "none"}, netip.AddrFrom4([4]byte{198, 51, 100, byte(128 + i%5)})
		}, "client"},
		{"that signs some of it", func(i int, f *policy.Facts) {
			f.DKIM = append(f.DKIM, policy.DKIM{Result: "pass", Domain: "alumni.example", Selector: "a", Testing: i%2 == 0})
			f.SPF, f.Client = policy.SPF{Result: "none"}, netip.MustParseAddr("198.51.100.130")
			f.DKIM[len(f.DKIM)-1].Testing = false
		}, "dkim_pass"},
		{"over IPv6", func(_ int, f *policy.Facts) {
			f.SPF, f.Client = policy.SPF{Result: "none"}, netip.MustParseAddr("2001:db8:17::25")
		}, "client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := storeWith(t, "", alumniRows(tt.change)...)
			code, out, stderr := command("rules", "add", "-c", cfg, "--from-qid", "q0", "--any-author", "--json")
			var a addedRule
			if err := json.Unmarshal([]byte(out), &a); err != nil || code != 0 || stderr != "" {
				t.Fatalf("rules add = %d, %v, %s", code, err, stderr)
			}
			if a.Key != tt.anchor || a.Covers != 55 || a.Failed != 55 || !strings.Contains(a.TOML, "covers 55 of the 55 messages that failed from this source in 7 days") {
				t.Errorf("rules add: %s covers %d of %d; want %s, 55 of 55\n%s", a.Key, a.Covers, a.Failed, tt.anchor, a.TOML)
			}
			r := resultstest.Rules(t, a.TOML).Rules.List()[0]
			if len(r.Match.Author) != 0 || len(r.Match.RcptDomain) != 2 || len(r.Match.Requested) != 2 || r.Mode != policy.Shadow {
				t.Errorf("rule = %+v; want one in shadow for any author, both policies and both domains of recipients", r)
			}
			code, out, stderr = command("what-if", "-c", cfg, "--profile", "strict")
			if code != 0 || !strings.Contains(out, "--any-author\n    covers 55 of the 55 messages that failed from this source in 7 days") {
				t.Errorf("what-if = %d, %s\n%s\nwant a rule that covers all", code, stderr, out)
			}
			code, out, stderr = command("rules", "add", "-c", cfg, "--from-qid", "q0")
			if code != 0 || stderr != "" || !strings.Contains(out, " of the 55 messages") || strings.Contains(out, "covers 55") || strings.Contains(out, "covers 0") {
				t.Errorf("rules add for one author = %d, %s\n%s\nwant one that covers some: of its author, policy and recipients", code, stderr, out)
			}
		})
	}
}

func TestRulesAddTrustsConfiguredSealers(t *testing.T) {
	row := resultstest.Forwarded(resultstest.SPFOf("srs.alumni.example"))
	for _, tt := range []struct {
		name, extra string
		forged      bool
	}{
		{"nobody", "", true},
		{"the domain", "[conformant]\nforwarder_domains = [\"srs.alumni.example\"]\n", false},
		{"the network", "[conformant]\nforwarder_networks = [\"192.0.2.0/24\"]\n", false},
		{"another network", "[conformant]\nforwarder_networks = [\"198.51.100.0/24\"]\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := command("rules", "add", "-c", storeWith(t, tt.extra, row), "--from-qid", "4XyZ1")
			if code != 0 || strings.Contains(stderr, "looks forged") != tt.forged {
				t.Errorf("rules add = %d, %q; want that it looks forged: %v", code, stderr, tt.forged)
			}
		})
	}
}
