package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"dmarcgate/auth/spf"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/enforce"
	"dmarcgate/message"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// maxMessage is the largest message file that explain reads.
const maxMessage = 256 << 20

// explainCmd asks for the whole envelope: a guessed one would explain another
// message.
type explainCmd struct {
	resolverFlags
	Message  string   `arg:"" help:"Message file, or - for standard input."`
	IP       string   `required:"" help:"Address of the SMTP client." placeholder:"ADDR"`
	Helo     string   `required:"" help:"Name that the client gave in HELO."`
	MailFrom string   `required:"" help:"Reverse path; <> for the null path." placeholder:"ADDRESS"`
	Rcpt     []string `help:"Recipient; may be repeated." placeholder:"ADDRESS"`
	Listener string   `help:"Listener whose settings count; the first one by default."`
	Profile  string   `help:"Profile instead of the configured one." enum:"monitor,conformant,strict," default:""`
	Second   bool     `name:"second-opinion" help:"Ask other implementations of SPF and DKIM, too."`
	JSON     bool     `help:"Print JSON."`
}

func (c *explainCmd) Run(e *env) error {
	env, err := c.envelope()
	if err != nil {
		return err
	}
	in, listener, err := c.settings()
	if err != nil {
		return err
	}
	text, err := readMessage(c.Message)
	if err != nil {
		return err
	}
	x, err := explain(in, listener, env, text, c.Second)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(x)
	}
	return x.tree().print(e.stdout)
}

func (c *explainCmd) envelope() (*milter.Envelope, error) {
	ip, err := netip.ParseAddr(c.IP)
	if err != nil {
		return nil, fmt.Errorf("--ip: %q is not an address", c.IP)
	}
	trim := func(s string) string { return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">") }
	env := &milter.Envelope{Client: ip.Unmap(), Helo: c.Helo, MailFrom: trim(c.MailFrom), QueueID: "explain"}
	for _, r := range c.Rcpt {
		env.Rcpts = append(env.Rcpts, trim(r))
	}
	return env, nil
}

func (c *explainCmd) settings() (inputs, config.Listener, error) {
	in, err := c.load()
	if err != nil {
		return inputs{}, config.Listener{}, err
	}
	cfg := in.cfg
	i := 0
	if c.Listener != "" {
		i = slices.IndexFunc(cfg.Listeners, func(l config.Listener) bool { return l.Name == c.Listener })
		if i < 0 {
			return inputs{}, config.Listener{}, fmt.Errorf("--listener: the configuration has no listener %q", c.Listener)
		}
	}
	l := cfg.Listeners[i]
	if c.Profile != "" {
		l.Profile = c.Profile
	}
	return in, l, nil
}

func readMessage(path string) ([]byte, error) {
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	text, err := io.ReadAll(io.LimitReader(f, maxMessage+1))
	if err == nil && len(text) > maxMessage {
		err = fmt.Errorf("%s has more than %d MiB", path, maxMessage>>20)
	}
	return text, err
}

// explanation is what became of a message, and what was looked up for it.
type explanation struct {
	Profile  string          `json:"profile"`
	Secret   bool            `json:"site_secret"` // false: draws are not those of the daemon
	Facts    policy.Facts    `json:"facts"`
	Decision policy.Decision `json:"decision"`
	Reply    string          `json:"reply"`
	Edits    []string        `json:"edits"`
	Lookups  []string        `json:"lookups"`
	Owner    string          `json:"spf_explanation,omitempty"` // what the owner of the MAIL FROM domain says of a fail
	Second   *second         `json:"second_opinion,omitempty"`
}

// second is what other implementations say, or why they say nothing.
type second struct {
	Opinions []opinion `json:"opinions,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// explain takes a message along the path of the daemon, with a recorder that
// only remembers.
func explain(in inputs, l config.Listener, env *milter.Envelope, text []byte, others bool) (*explanation, error) {
	dns, err := newResolver(in.cfg, nil)
	if err != nil {
		return nil, err
	}
	defer dns.Close()
	x := &explanation{Profile: l.Profile}
	secret, err := os.ReadFile(in.cfg.Sampling.SecretFile)
	x.Secret = err == nil && len(secret) >= policy.MinSecret
	var mu sync.Mutex
	view := traced(dns, func(l dnscache.Lookup) {
		mu.Lock()
		defer mu.Unlock()
		x.Lookups = append(x.Lookups, lookupLine(l))
	})
	kept := &keeper{}
	gate := &enforce.Gate{
		Listener: l.Name, Store: kept, Deferrals: &enforce.Deferrals{}, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	gate.Snapshot.Store(in.snapshot(l, policy.NewSampler(secret), view))
	header, body := message.Split(text)
	run := gate.Start(context.Background(), env, header)
	_, _ = run.Write(body) // it only says when it has had enough
	answer := run.Finish()
	x.Facts, x.Decision, x.Reply = kept.row.Facts, kept.row.Decision, answer.Reply.String()
	for _, e := range answer.Edits {
		x.Edits = append(x.Edits, e.String())
	}
	x.Owner = ownerSays(dns, env, x.Facts)
	if others && x.Facts.Skip == policy.Evaluated {
		x.Second = &second{}
		if x.Second.Opinions, err = secondOpinion(dns, env, x.Facts, header, body); err != nil {
			x.Second.Error = err.Error()
		}
	}
	return x, nil
}

// ownerSays fetches the explanation of an SPF fail (RFC 7208, Section 6.2). It
// may hold the local part of the sender, so it goes no further than here.
func ownerSays(dns *dnscache.Resolver, env *milter.Envelope, f policy.Facts) string {
	if f.SPF.Result != spf.Fail.String() {
		return ""
	}
	q := spf.Query{IP: f.Client, Domain: f.SPF.Domain, Local: "postmaster", Helo: f.HELO.Domain, Explain: true}
	if f.NullPath {
		q.Identity = spf.Helo
	} else if at := strings.LastIndexByte(env.MailFrom, '@'); at > 0 {
		q.Local = env.MailFrom[:at]
	}
	return spf.Check(context.Background(), dns.View(dnscache.SPF), q).Explanation
}

// keeper is a store of one row.
type keeper struct{ row results.Row }

func (k *keeper) Add(r results.Row) *results.Receipt {
	k.row = r
	return &results.Receipt{Outcome: results.Written}
}

func (k *keeper) MarkUnanswered(*results.Receipt) {}

// tree draws the explanation.
func (x *explanation) tree() *node {
	f := x.Facts
	root := &node{text: fmt.Sprintf("message from client %s, helo %s, MAIL FROM domain %s", f.Client, printable(f.Helo), printable(orNull(f.MailFrom)))}
	if f.Relay.IsValid() {
		root.add("client read from the Received field of our relay %s", f.Relay)
	}
	if f.Skip != policy.Evaluated {
		root.add("not evaluated: %s", f.Skip)
	} else {
		x.checks(root)
		for i, a := range f.Authors {
			x.author(root, a, x.Decision.Effective[i])
		}
	}
	d := root.add("decision, profile %s: %s", x.Profile, x.Decision.Action)
	d.add("disposition %s, requested %s, override %s", x.Decision.Disposition, x.Decision.Requested, orNone(string(x.Decision.Override)))
	d.add("because: %s", printable(x.Decision.Reason))
	x.rules(d)
	answer := root.add("answer to the MTA: %s", printable(x.Reply))
	for _, e := range x.Edits {
		answer.add("%s", printable(strings.ReplaceAll(e, "\n", "")))
	}
	x.second(root)
	lookups := root.add("%d DNS lookups", len(x.Lookups))
	for _, l := range x.Lookups {
		lookups.add("%s", printable(l))
	}
	return root
}

// second shows where others agree. What is known to differ, and which RFC is
// for which side, stands in docs/decisions.md.
func (x *explanation) second(root *node) {
	if x.Second == nil {
		return
	}
	n := root.add("second opinion, of blitiri.com.ar/go/spf and go-msgauth")
	if x.Second.Error != "" {
		n.add("%s", printable(x.Second.Error))
	}
	for _, o := range x.Second.Opinions {
		word := "agrees"
		if !o.Agree {
			word = "DIFFERS"
		}
		about := n.add("%s: ours %s, theirs %s: %s", printable(o.About), o.Ours, printable(o.Theirs), word)
		if o.Words != "" && !o.Agree {
			about.add("they say: %s", printable(o.Words))
		}
	}
}

// rules shows the rule that decided, and those that matched beside it.
func (x *explanation) rules(n *node) {
	if x.Decision.Rule != "" {
		n.add("rule %s", x.Decision.Rule)
	}
	if len(x.Decision.Also) > 0 {
		n.add("also matched: %s", strings.Join(x.Decision.Also, ", "))
	}
	for _, s := range x.Decision.Shadow {
		n.add("in shadow, rule %s would have answered %s", s.Rule, s.Action)
	}
}

func (x *explanation) checks(root *node) {
	f := x.Facts
	if n := spfNode(root, "mailfrom", f.SPF); x.Owner != "" {
		n.add("its owner says: %s", printable(x.Owner))
	}
	spfNode(root, "helo", f.HELO).add("not used for alignment")
	dkim := root.add("dkim: %d signatures", len(f.DKIM))
	for _, s := range f.DKIM {
		sig := dkim.add("%s: d=%s s=%s a=%s c=%s, %d bits (%s)", s.Result, orNone(s.Domain), printable(s.Selector), printable(s.Algorithm), orNone(s.Canon), s.KeyBits, s.Reason)
		if s.HeaderOK && s.Result != "pass" {
			sig.add("the signed header fields are as they were signed; only the body is not")
		}
	}
	x.chain(root)
	root.add("From: %s", f.From)
}

func spfNode(root *node, identity string, s policy.SPF) *node {
	n := root.add("spf %s: %s for %s (%s)", identity, s.Result, orNone(s.Domain), s.Reason)
	if s.Term != "" {
		n.add("term %s", printable(s.Term))
	}
	return n
}

func (x *explanation) chain(root *node) {
	c := x.Facts.ARC
	if c.Result == "" {
		root.add("arc: no chain")
		return
	}
	n := root.add("arc: %s (%s)", c.Result, c.Reason)
	if c.Result == "pass" && c.OldestPass > 1 {
		n.add("changed on its way: the signatures verify from hop %d on", c.OldestPass)
	}
	for i, s := range c.Sealers {
		hop := n.add("hop %d sealed by %s, s=%s", i+1, orNone(s.Domain), printable(s.Selector))
		for _, r := range s.Recorded {
			hop.add("recorded %s=%s for %s", printable(r.Method), printable(r.Result), r.Domain)
		}
	}
}

func (x *explanation) author(root *node, a policy.Author, p policy.Policy) {
	n := root.add("dmarc %s: %s", a.Domain, a.Verdict.Status)
	if a.PolicyDomain == "" {
		n.add("no record")
	} else {
		n.add("record at %s (%s): %s", a.PolicyDomain, a.Source, printable(a.Record))
		if len(a.Defects) > 0 {
			n.add("defects: %s; dmarcgate lookup %s says how to mend them", strings.Join(a.Defects, ", "), a.Domain)
		}
	}
	if a.Org != "" {
		n.add("organizational domain %s", a.Org)
	}
	n.add("aligned: SPF %v, DKIM %v", a.Verdict.AlignedSPF, a.Verdict.AlignedDKIM)
	n.add("because: %s", printable(a.Verdict.Reason))
	draw := n.add("policy: published %s, after t and pct %s", a.Verdict.Policy, p.Applied)
	if a.Verdict.Pct < 100 && a.PolicyDomain != "" {
		draw.add("pct=%d, drawn %d%s", a.Verdict.Pct, a.Draw, x.drawNote())
	}
}

func (x *explanation) drawNote() string {
	if x.Secret {
		return ""
	}
	return " (without the site's secret, so the daemon draws another number)"
}

func lookupLine(l dnscache.Lookup) string {
	switch {
	case l.Err != nil:
		return fmt.Sprintf("%s %s: %v", l.Type, l.Name, l.Err)
	case l.NXDomain:
		return fmt.Sprintf("%s %s: no such name (%s, TTL %s)", l.Type, l.Name, l.Outcome, l.TTL.Round(time.Second))
	case len(l.Records) == 0:
		return fmt.Sprintf("%s %s: no record (%s, TTL %s)", l.Type, l.Name, l.Outcome, l.TTL.Round(time.Second))
	}
	return fmt.Sprintf("%s %s: %q (%s, TTL %s)", l.Type, l.Name, l.Records, l.Outcome, l.TTL.Round(time.Second))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return printable(s)
}

func orNull(s string) string {
	if s == "" {
		return "<>"
	}
	return s
}
