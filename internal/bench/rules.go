package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// What is promised of override rules.
const (
	manyOverFew   = 3   // times the CPU of a decision with as many rules as could match and no others
	whatIfOver    = 4   // times a bare scan of the same rows
	whatIfMemory  = 256 // MiB
	couldMatch    = 20
	manyRules     = 10_000
	decisionCalls = 2000
)

// rulesOptions say how much is measured.
type rulesOptions struct {
	repeat int
	rows   int // of the store that what-if reads
	scans  int // repetitions there
}

var (
	fullRules  = rulesOptions{rows: 1_000_000, scans: 3}
	quickRules = rulesOptions{rows: 100_000, scans: 1}
)

// compareRules measures decisions with few rules and many, and what-if beside
// a scan, and prints both beside what is promised.
func compareRules(ctx context.Context, opts rulesOptions, daemon string, w, progress io.Writer) error {
	begin := time.Now()
	fmt.Fprintf(progress, "rules: %d beside %d, load %s\n", manyRules, couldMatch, load())
	contests, err := ruleContests()
	if err != nil {
		return err
	}
	if err := hold(ctx, contests, opts.repeat); err != nil {
		return err
	}
	replay, err := measureReplay(ctx, opts, daemon, progress)
	if err != nil {
		return err
	}
	out := printer{w: w}
	out.line("Rules: CPU in ms a decision, medians of %d repetitions, ratios with (least-most); %v, load %s.\n", opts.repeat, time.Since(begin).Round(time.Second), load())
	out.table(contests)
	for _, f := range replay.facts() {
		out.line("%s", f)
	}
	return out.err
}

// ruleShape is a kind of rules: the key that tells them apart.
type ruleShape struct {
	title string
	// key makes rule i one of mail that the message of the shape is (mine), or
	// of other mail.
	key func(m *policy.Match, i int, mine bool)
	// last is a key that none of the rules holds for: with it a message could
	// match by the key above, and does not.
	last bool
}

var shapes = []ruleShape{
	{"client_ip, 20 match", byNetwork, false},
	{"client_ip, none matches", byNetwork, true},
	{"dkim_pass, 20 match", bySigner, false},
	{"dkim_pass, none matches", bySigner, true},
	{"header_from, 20 match", byAuthor, false},
	{"names below a domain, 20 match", bySuffix, false},
	{"several keys, one rcpt_domain for all", byAll, false},
}

func byNetwork(m *policy.Match, i int, mine bool) {
	a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})
	if mine {
		a = netip.AddrFrom4([4]byte{192, 0, 2, 0})
	}
	m.ClientIP = []pattern.Network{pattern.NetworkOf(netip.PrefixFrom(a, 24))}
}

func bySigner(m *policy.Match, i int, mine bool) { m.DKIMPass = names(i, mine, "", "list.example") }
func byAuthor(m *policy.Match, i int, mine bool) {
	m.HeaderFrom = names(i, mine, "", "mail.bank.example")
}
func bySuffix(m *policy.Match, i int, mine bool) { m.HeaderFrom = names(i, mine, ".", "bank.example") }

func byAll(m *policy.Match, i int, mine bool) {
	[]func(*policy.Match, int, bool){byNetwork, bySigner, byAuthor, bySuffix}[i%4](m, i, mine)
	m.RcptDomain = names(0, true, "", "receiver.example")
}

// names is one domain: that of the message, or one of rule i.
func names(i int, mine bool, form, domain string) []pattern.Domain {
	if !mine {
		domain = fmt.Sprintf("d%05d.example", i)
	}
	p, err := pattern.ParseDomain(form + domain)
	if err != nil {
		panic(err) // our own names
	}
	return []pattern.Domain{p}
}

// ruleContests are one for each shape: no rules, few and many.
func ruleContests() ([]*contest, error) {
	facts := relayedFacts()
	var out []*contest
	for _, s := range shapes {
		c := &contest{group: "Rules", title: s.title, calls: decisionCalls, wants: []want{{title: "many/few", over: 2, under: 1, atMost: manyOverFew}}}
		for _, n := range []int{0, couldMatch, manyRules} {
			rules, err := s.rules(n)
			if err != nil {
				return nil, err
			}
			set := policy.Settings{Profile: policy.Strict, Quarantine: policy.Tag, Rules: rules}
			matches := n > 0 && !s.last
			c.contenders = append(c.contenders, contender{fmt.Sprintf("%d rules", n), func() error { return decideAs(set, facts, matches) }})
		}
		out = append(out, c)
	}
	return out, nil
}

// decideAs decides, and fails when the rules do not do what is measured.
func decideAs(set policy.Settings, facts policy.Facts, matches bool) error {
	d := set.Decide(facts)
	if got := d.Rule != "" && len(d.Also) == couldMatch-1; got != matches {
		return fmt.Errorf("decided by rule %q with %d others; want rules to match: %v", d.Rule, len(d.Also), matches)
	}
	return nil
}

// rules makes n rules, of which couldMatch are of the message.
func (s ruleShape) rules(n int) (policy.Rules, error) {
	list := make([]policy.Rule, n)
	for i := range list {
		r := policy.Rule{
			ID: fmt.Sprintf("r%05d", i), Owner: "o", Created: time.Unix(0, 0), Mode: policy.Enforce, Priority: i % 7, Action: policy.RuleQuarantine,
		}
		mine := i%(n/couldMatch) == 0
		s.key(&r.Match, i, mine)
		if s.last && mine {
			r.Match.HELO = names(0, true, "", "other.example")
		}
		list[i] = r
	}
	return policy.NewRules(list)
}

// relayedFacts are those of a message that fails, from a forwarder that signs.
func relayedFacts() policy.Facts {
	return policy.Facts{
		Time: time.Unix(1_800_000_000, 0), Listener: "mta", QueueID: "4XyZ1234", Client: netip.MustParseAddr("192.0.2.7"), ClientName: "out.list.example",
		Helo: "out.list.example", MailFrom: "list.example", Recipients: []string{"receiver.example"}, From: policy.FromOneMailbox,
		SPF:  policy.SPF{Result: "pass", Domain: "list.example"},
		DKIM: []policy.DKIM{{Result: "pass", Domain: "list.example"}, {Result: "fail", Domain: "bank.example"}},
		Authors: []policy.Author{{
			Domain: "mail.bank.example", Org: "bank.example", PolicyDomain: "bank.example",
			Verdict: dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100, Reason: "nothing is aligned"},
		}},
		Seed: 1, Version: policy.FactsVersion,
	}
}
