package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/dnscache"
	"dmarcgate/policy"
	"dmarcgate/site"
	"dmarcgate/term"
)

// walked is one name of a walk.
type walked struct {
	Name    string   `json:"name"`
	Records []string `json:"records,omitempty"`
	Other   int      `json:"other_txt,omitempty"`
	Error   string   `json:"error,omitempty"`
	Defects []string `json:"defects,omitempty"` // each with its fix
}

// authorPath is how an author domain stands to its record and to everything that
// could be aligned with it.
type authorPath struct {
	Domain      string       `json:"domain"`
	Method      string       `json:"method"`
	Walk        []walked     `json:"walk"`
	Stopped     string       `json:"stopped"` // where the walk ended, and why
	Org         string       `json:"organizational_domain,omitempty"`
	Existence   string       `json:"existence"`
	Choice      string       `json:"choice"` // which tag gives the policy
	Identifiers []identifier `json:"identifiers,omitempty"`
	Text        string       `json:"record,omitempty"` // as published
}

// identifier is what SPF or DKIM checked, and whether it is aligned.
type identifier struct {
	Mechanism string   `json:"mechanism"`
	Domain    string   `json:"domain"`
	Selector  string   `json:"selector,omitempty"`
	Result    string   `json:"result"`
	Mode      string   `json:"mode"`
	Org       string   `json:"organizational_domain,omitempty"`
	Queried   []string `json:"queried,omitempty"` // for Org, beside the walk of the author domain
	Aligned   bool     `json:"aligned"`
	Why       string   `json:"why"`
}

// authors walks again for each author domain.
func (p *playback) authors(in site.Site, f policy.Facts) []authorPath {
	finder := *in.Checker(p.dns.View).Finder
	finder.Resolver, finder.Immediate = playedDNS{p, dnscache.DMARC}, true // one name after the other
	ctx, cancel := context.WithTimeout(context.Background(), in.Config.Limits.MessageBudget.Std())
	defer cancel()
	var out []authorPath
	for _, a := range f.Authors {
		d := finder.Find(ctx, a.Domain)
		p.questions()
		s := authorPath{
			Domain: a.Domain, Method: d.Method.String(), Stopped: stopped(d), Org: d.Org,
			Existence: d.Existence.String(), Choice: choice(d), Text: d.Text,
		}
		for _, w := range d.Walk {
			s.Walk = append(s.Walk, walkedName(w))
		}
		for _, id := range identifiers(f) {
			s.Identifiers = append(s.Identifiers, p.align(ctx, &finder, id, d))
		}
		out = append(out, s)
	}
	return out
}

func walkedName(w dmarc.Step) walked {
	s := walked{Name: w.Name(), Records: w.Records, Other: w.Others}
	if w.Err != nil {
		s.Error = term.Printable(w.Err.Error())
	}
	for _, d := range w.Defects {
		s.Defects = append(s.Defects, d.String()+"; "+d.Fix())
	}
	return s
}

// stopped says where the search for the record ended (RFC 9989, Section
// 4.10.1).
func stopped(d dmarc.Discovery) string {
	if d.Err != nil {
		return "not known: a name did not answer"
	}
	if len(d.Walk) == 0 {
		return ""
	}
	last := d.Walk[len(d.Walk)-1]
	where := "at " + last.Name()
	switch found := len(last.Records) == 1; {
	case d.Method == dmarc.PSL:
		return where + ", by the public suffix list"
	case !found || !strings.Contains(last.Domain, "."):
		return where + ", the last name"
	}
	if r, _, err := dmarc.ParseRecord(last.Records[0]); err == nil && r.PSD != dmarc.PSDUnknown {
		return fmt.Sprintf("%s, by psd=%s", where, r.PSD)
	}
	return where
}

// choice says which tag of the record gives the policy (RFC 9989, Section
// 4.7).
func choice(d dmarc.Discovery) string {
	r := d.Record
	switch {
	case d.Source == dmarc.SourceNone:
		return ""
	case r.Broken(d.Method):
		return "none: a policy tag cannot be read"
	case d.Source == dmarc.SourceAuthor:
		return "p: the record stands at the author domain"
	case d.Existence == dmarc.Missing && r.NP.Presence == dmarc.Valid:
		return "np: the author domain does not exist"
	case r.SP.Presence == dmarc.Valid:
		return "sp: the record stands above the author domain"
	}
	return "p: the record stands above the author domain and has no sp"
}

// identifiers lists everything that was checked.
func identifiers(f policy.Facts) []identifier {
	var out []identifier
	if f.SPF.Domain != "" {
		out = append(out, identifier{Mechanism: dmarc.SPF.String(), Domain: f.SPF.Domain, Result: f.SPF.Result})
	}
	for _, s := range f.DKIM {
		if s.Domain != "" {
			out = append(out, identifier{Mechanism: dmarc.DKIM.String(), Domain: s.Domain, Selector: s.Selector, Result: s.Result})
		}
	}
	return out
}

// align finds out whether an identifier is aligned, whatever its check gave.
func (p *playback) align(ctx context.Context, finder *dmarc.Finder, id identifier, d dmarc.Discovery) identifier {
	q := dmarc.Identifier{Mechanism: dmarc.SPF, Domain: id.Domain, Passed: true}
	mode := d.Record.ASPF
	if id.Mechanism == dmarc.DKIM.String() {
		q.Mechanism, mode = dmarc.DKIM, d.Record.ADKIM
	}
	q = finder.Identify(ctx, q, d)
	id.Org, id.Aligned = q.Org, d.Source != dmarc.SourceNone && q.AlignedWith(d)
	id.Queried = slices.DeleteFunc(p.questions(), func(name string) bool {
		return slices.ContainsFunc(d.Walk, func(w dmarc.Step) bool { return name == "TXT "+w.Name() })
	})
	id.Mode = alignmentModes[mode]
	switch {
	case d.Source == dmarc.SourceNone:
		id.Mode, id.Why = "", "no record says what aligned means"
	case id.Domain == d.Author:
		id.Why = "the author domain itself"
	case mode == dmarc.Strict:
		id.Why = "strict: only " + d.Author + " itself is"
	case q.OrgErr != nil || d.OrgErr != nil:
		id.Why = "the organizational domain is not known"
	case id.Aligned:
		id.Why = "the organizational domain of both is " + d.Org
	case id.Org != "":
		id.Why = fmt.Sprintf("its organizational domain is %s, that of the author %s", id.Org, term.OrNone(d.Org))
	default:
		id.Why = "it is not at or below " + term.OrNone(d.Org) + ", the organizational domain of the author"
	}
	return id
}

var alignmentModes = map[dmarc.Mode]string{dmarc.Relaxed: "relaxed", dmarc.Strict: "strict"}
