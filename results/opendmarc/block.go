package opendmarc

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/message"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// block is the lines of one message.
type block struct {
	line   int
	lines  int
	values map[string]string // of the keys that are known
	dkim   []policy.DKIM
	why    Refusal
}

// newBlock begins a block with its line "job".
func newBlock(text string, line int) block {
	_, job := cut(text)
	return block{line: line, values: map[string]string{"job": job}}
}

// refuse notes the first reason.
func (b *block) refuse(why Refusal) { b.why = cmp.Or(b.why, why) }

// known are the keys that tell something of a row.
var known = []string{
	"reporter", "received", "ipaddr", "from", "mfrom", "spf", "pdomain", "policy", "pct", "adkim", "aspf", "p", "sp",
	"align_dkim", "align_spf", "arc", "arc_policy", "action",
}

func (b *block) add(text string) {
	if b.lines++; b.lines > maxLines {
		b.refuse(TooMany)
		return
	}
	key, value := cut(text)
	switch {
	case b.why != "":
	case key == "dkim":
		b.addDKIM(strings.Fields(value))
	case slices.Contains(known, key):
		b.values[key] = value
	}
}

// addDKIM reads "domain selector code", or "domain code" of versions before
// 1.4.
func (b *block) addDKIM(words []string) {
	if len(words) < 2 || len(b.dkim) == maxSigners {
		return
	}
	code, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		b.refuse(BadNumber)
		return
	}
	s := policy.DKIM{Result: cmp.Or(resultWords[code], "none"), Domain: domain(words[0])}
	if len(words) > 2 {
		s.Selector = domain(words[1])
	}
	b.dkim = append(b.dkim, s)
}

// text returns a value, "" when it is not set.
func (b *block) text(key string) string {
	switch v := b.values[key]; v {
	case "-", "(null)", "NULL", "-1":
		return ""
	default:
		return v
	}
}

// number returns a value that is a number, and unset when it is not set.
func (b *block) number(key string) int {
	const unset = -1
	text := b.text(key)
	if text == "" {
		return unset
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.refuse(BadNumber)
		return unset
	}
	return n
}

// domain returns a name as rows have it, "" when it is none.
func domain(text string) string {
	name, err := message.ParseDomain(text)
	if err != nil {
		return ""
	}
	return name
}

// message makes a row of the block.
func (b *block) message(now time.Time) Message {
	m := Message{Line: b.line}
	if b.why == "" {
		m.Row = b.row(now)
	}
	if m.Why = b.why; m.Why != "" {
		m.Row = results.Row{}
	}
	return m
}

func (b *block) row(now time.Time) results.Row {
	r := results.Row{State: results.Imported}
	f := &r.Facts
	f.Time, f.QueueID, f.Listener, f.Client = b.received(now), b.job(), b.reporter(), b.client()
	f.MailFrom, f.NullPath = domain(b.text("mfrom")), b.text("mfrom") == "<>"
	f.SPF = policy.SPF{Result: resultWords[b.number("spf")], Domain: f.MailFrom}
	f.DKIM, f.ARC = b.dkim, b.arc()
	f.FromField = policy.FromMissing
	if from := b.text("from"); from != "" {
		f.FromField = policy.FromUnparsable
		if name := domain(from); name != "" {
			f.FromField, f.Authors = policy.FromOneMailbox, []policy.Author{b.author(name)}
		}
	}
	r.Decision = b.decision(f.Authors)
	return r
}

// job is the queue id. Without one OpenDMARC writes a word in parentheses.
func (b *block) job() string {
	const longest = 255 // of a queue id known to us: far fewer
	id := b.text("job")
	if strings.HasPrefix(id, "(") {
		return ""
	}
	if len(id) > longest || !visible(id) {
		b.refuse(BadJob)
	}
	return id
}

// reporter is the host that saw the message.
func (b *block) reporter() string {
	text := b.text("reporter")
	if text == "" {
		b.refuse(NoReporter)
		return ""
	}
	name := domain(text)
	if name == "" {
		b.refuse(BadReporter)
	}
	return name
}

// received is the time of a message. The first OpenDMARC is of 2012.
func (b *block) received(now time.Time) time.Time {
	text := b.text("received")
	if text == "" {
		b.refuse(NoTime)
		return time.Time{}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	first, last := time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC), now.Add(24*time.Hour)
	if err != nil || n < first.Unix() || n > last.Unix() {
		b.refuse(BadTime)
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

func (b *block) client() netip.Addr {
	text := b.text("ipaddr")
	if text == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		b.refuse(BadClient)
	}
	return a.Unmap()
}

// author is what was found and concluded for the author domain.
func (b *block) author(name string) policy.Author {
	a := policy.Author{Domain: name, Source: dmarc.SourceNone.String()}
	outcome := b.number("policy")
	record, found := b.record()
	if outcome == policyAbsent || !found && outcome < 0 {
		return a
	}
	v := &a.Verdict
	v.AlignedDKIM, v.AlignedSPF = b.number("align_dkim") == alignedYes, b.number("align_spf") == alignedYes
	a.PolicyDomain = cmp.Or(domain(b.text("pdomain")), name)
	a.Source = dmarc.SourceAuthor.String()
	v.Policy = record.P.Policy
	if a.PolicyDomain != name {
		a.Source = dmarc.SourceOrg.String()
		if record.SP.Presence == dmarc.Valid {
			v.Policy = record.SP.Policy
		}
	}
	if found {
		a.Record = record.PolicyTags()
	}
	v.Pct, v.Status = record.Pct, dmarc.Fail
	if asked, failed := failedPolicies[outcome]; failed {
		v.Policy = asked
	} else if outcome == policyPass || v.AlignedDKIM || v.AlignedSPF {
		v.Status = dmarc.Pass
	}
	return a
}

// record is the record as far as the file tells it, and whether it does.
func (b *block) record() (r dmarc.Record, found bool) {
	r.FO, r.RI, r.Pct = dmarc.ReportAllFailed, 86400, 100 // RFC 7489, Section 6.3
	r.ADKIM, r.ASPF = modes[b.number("adkim")], modes[b.number("aspf")]
	if pct := b.number("pct"); pct >= 0 && pct <= 100 {
		r.Pct = uint8(pct)
	}
	r.P, r.SP = b.tag("p"), b.tag("sp")
	return r, r.P.Presence == dmarc.Valid
}

func (b *block) tag(key string) dmarc.PolicyTag {
	p, ok := published[b.number(key)]
	if !ok {
		return dmarc.PolicyTag{}
	}
	return dmarc.PolicyTag{Presence: dmarc.Valid, Policy: p}
}

// decision is what was done, with what was asked for.
func (b *block) decision(authors []policy.Author) policy.Decision {
	d := policy.Decision{Why: "imported from OpenDMARC"}
	if n := b.number("action"); n >= 0 {
		what, known := actions[n]
		if !known {
			b.refuse(BadAction)
		}
		d.Action, d.Disposition = what.action, what.disposition
	}
	if len(authors) == 0 {
		return d
	}
	d.Author = authors[0].Domain
	v := authors[0].Verdict
	asked := dmarc.None
	if v.Status == dmarc.Fail {
		asked = v.Policy
	}
	d.Requested, d.Effective = asked, []policy.Policy{{Applied: asked}}
	if uint8(d.Disposition) != uint8(asked) {
		d.Reason = policy.LocalPolicy
	}
	return d
}

// hop is an element of the list of arc_policy.
type hop struct {
	I    int
	D, S string
}

// arc is the chain. Hops are as `{"i":1,"d":"lists.example.net","s":"k1","ip":…}`;
// a list that cannot be read tells nothing.
func (b *block) arc() policy.ARC {
	const maxHops = 50 // RFC 8617, Section 4.2.1
	a := policy.ARC{}
	switch result := resultWords[b.number("arc")]; result {
	case "pass", "fail":
		a.Result = result
	default:
		return a
	}
	_, list, _ := strings.Cut(b.text("arc_policy"), "json:")
	var hops []hop
	if json.Unmarshal([]byte(list), &hops) != nil || len(hops) > maxHops {
		return a
	}
	slices.SortStableFunc(hops, func(x, y hop) int { return cmp.Compare(x.I, y.I) })
	for _, h := range hops {
		a.Sealers = append(a.Sealers, policy.Sealer{Domain: domain(h.D), Selector: domain(h.S)})
	}
	return a
}

func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
