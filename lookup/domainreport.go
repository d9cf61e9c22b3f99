package lookup

import (
	"fmt"

	"dmarcgate/auth/dmarc"
	"dmarcgate/dnscache"
	"dmarcgate/policy"
	"dmarcgate/report/consent"
	"dmarcgate/term"
)

// maxText bounds one text of the DNS in JSON: no record is read further.
const maxText = dmarc.MaxRecordBytes

// domainReport is what a receiver sees of one domain. All text in it that comes from
// the DNS is printable ASCII of bounded length. The names of its JSON form are
// described in docs/lookup.md, and are there to stay.
type domainReport struct {
	Domain string `json:"domain"`
	Error  string `json:"error,omitempty"` // it is not known which record applies

	Method       string `json:"method"` // that of the configuration
	Org          string `json:"organizational_domain,omitempty"`
	Source       string `json:"source"`
	PolicyDomain string `json:"policy_domain,omitempty"`
	Record       string `json:"record,omitempty"`      // as published
	Understood   string `json:"record_read,omitempty"` // as read, printed again
	Result       string `json:"result"`                // of mail without SPF and DKIM
	Policy       string `json:"policy"`

	Methods []methodReport `json:"methods"`
	Differ  bool           `json:"methods_differ"`

	Defects []defectReport `json:"defects"`
	Changed bool           `json:"meaning_changed"` // by one of the defects

	Failing      []failing             `json:"failing_mail"`
	SPF          *reachReport          `json:"spf,omitempty"`      // nil without an SPF record, or with several
	SPFTree      *spfTerm              `json:"spf_tree,omitempty"` // nil like SPF
	Keys         []keyReport           `json:"dkim_keys,omitempty"`
	Destinations []consent.Destination `json:"report_destinations"`
	Remarks      []remark              `json:"remarks"`
	Queried      []queriedName         `json:"queried"`

	found   dmarc.Discovery
	lookups []dnscache.Lookup
	mailbox string // of the zone's SOA, as published: foreign bytes
}

// methodReport is what one way to find records makes of a domain.
type methodReport struct {
	Method       string `json:"method"`
	Org          string `json:"organizational_domain,omitempty"`
	PolicyDomain string `json:"policy_domain,omitempty"`
	Policy       string `json:"policy"`
	Error        string `json:"error,omitempty"`
}

// defectReport is a defect of a record and its fix.
type defectReport struct {
	Name    string `json:"name"` // that was queried
	Kind    string `json:"kind"`
	Pos     int    `json:"position"` // byte offset in the record
	Text    string `json:"text"`
	Fix     string `json:"fix"`
	Changes bool   `json:"changes_meaning"`
}

// failing is what a share of the failing mail would get under a profile.
type failing struct {
	Profile     policy.Profile     `json:"profile"`
	Percent     int                `json:"percent"`
	Action      policy.Action      `json:"action"`
	Disposition policy.Disposition `json:"disposition"`
	Reason      policy.Reason      `json:"reason,omitempty"`
	Why         string             `json:"why"`
}

// queriedName is one query and its answer.
type queriedName struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Records  []string `json:"records"`
	NXDomain bool     `json:"nxdomain,omitempty"`
	Age      int      `json:"age_seconds"`
	TTL      int      `json:"ttl_seconds"`
	AD       bool     `json:"ad,omitempty"`
	Outcome  string   `json:"outcome,omitempty"` // of the cache; empty when the DNS cannot have the name
	Error    string   `json:"error,omitempty"`

	state string // of the cache; empty like Outcome
	stale bool   // the records stand beside the error
}

// newDomainReport puts a discovery into words.
func newDomainReport(d dmarc.Discovery) *domainReport {
	v := dmarc.Evaluate(d, nil)
	s := &domainReport{
		Domain: d.Author, Error: term.ErrorText(d.Err), Method: d.Method.String(), Org: d.Org, Source: d.Source.String(),
		PolicyDomain: d.PolicyDomain, Record: term.Bounded(d.Text, maxText), Result: v.Status.String(), Policy: v.Policy.String(),
		Methods: []methodReport{}, Defects: []defectReport{}, Failing: []failing{}, Destinations: []consent.Destination{}, Remarks: []remark{}, Queried: []queriedName{}, found: d,
	}
	if d.Source != dmarc.SourceNone {
		s.Understood = d.Record.String()
	}
	for _, step := range d.Walk {
		for _, defect := range step.Defects {
			s.addDefect(step, defect)
		}
	}
	return s
}

func (s *domainReport) addDefect(step dmarc.Step, d dmarc.Defect) {
	changes := d.Severity == dmarc.Harmful
	s.Changed = s.Changed || changes
	s.Defects = append(s.Defects, defectReport{
		Name: step.Name(), Kind: d.Kind.String(), Pos: d.Pos, Text: term.Printable(d.Text), Fix: d.Fix(), Changes: changes,
	})
}

// addMethod adds what one method gives; both have been added when they are
// compared. A method that failed differs from nothing.
func (s *domainReport) addMethod(d dmarc.Discovery) {
	m := methodReport{
		Method: d.Method.String(), Org: d.Org, PolicyDomain: d.PolicyDomain, Policy: dmarc.Evaluate(d, nil).Policy.String(),
		Error: term.ErrorText(d.Err),
	}
	if m.Error == "" {
		m.Error = term.ErrorText(d.OrgErr)
	}
	for _, o := range s.Methods {
		s.Differ = s.Differ || o.Error == "" && m.Error == "" &&
			(o.Org != m.Org || o.PolicyDomain != m.PolicyDomain || o.Policy != m.Policy)
	}
	s.Methods = append(s.Methods, m)
}

// addLookups adds queries and their answers, each question once: queried again it
// tells nothing but that the cache knows it.
func (s *domainReport) addLookups(list []dnscache.Lookup) {
	for _, l := range list {
		if s.knows(l) {
			continue
		}
		s.lookups = append(s.lookups, l)
		a := queriedName{
			Name: term.Bounded(l.Name, dmarc.MaxNameBytes), Type: l.Type, Records: []string{}, NXDomain: l.NXDomain,
			Age: term.Seconds(l.Age), TTL: term.Seconds(l.TTL), AD: l.AD, Outcome: l.Outcome, Error: term.ErrorText(l.Err), state: l.State(), stale: l.Stale(),
		}
		for _, r := range l.Records {
			a.Records = append(a.Records, term.Bounded(r, maxText))
		}
		s.Queried = append(s.Queried, a)
	}
}

func (s *domainReport) knows(l dnscache.Lookup) bool {
	for _, o := range s.lookups {
		if o.Name == l.Name && o.Type == l.Type && o.Err == nil {
			return true
		}
	}
	return false
}

// evaluate adds what mail that fails would get under each profile. Rules and the
// share of messages that is enforced are left out: they are about messages, and
// there is none.
func (s *domainReport) evaluate(settings policy.Settings) {
	settings.Rules, settings.EnforceShare = policy.Rules{}, 100
	v := dmarc.Evaluate(s.found, nil)
	for _, p := range []policy.Profile{policy.Monitor, policy.Conformant, policy.Strict} {
		settings.Profile = p
		first, last := s.decide(settings, v, 0), s.decide(settings, v, 99)
		if first.Action == last.Action && first.Disposition == last.Disposition {
			s.Failing = append(s.Failing, first)
			continue
		}
		first.Percent, last.Percent = int(v.Pct), 100-int(v.Pct)
		s.Failing = append(s.Failing, first, last)
	}
}

// decide is for a message that drew a number for pct, from 0 to 99.
func (s *domainReport) decide(settings policy.Settings, v dmarc.Verdict, draw uint8) failing {
	d := settings.Decide(policy.Facts{FromField: policy.FromOneMailbox, Authors: []policy.Author{{
		Domain: s.Domain, Org: s.Org, PolicyDomain: s.PolicyDomain, Source: s.Source, Verdict: v, Draw: draw,
	}}})
	return failing{
		Profile: settings.Profile, Percent: 100, Action: d.Action, Disposition: d.Disposition, Reason: d.Reason,
		Why: term.Printable(d.Why),
	}
}

// failure is why the command ends with 1, if it does.
func (s *domainReport) failure() error {
	switch {
	case s.Error != "":
		return fmt.Errorf("%s cannot be looked up: %s", s.Domain, s.Error)
	case s.Changed:
		return fmt.Errorf("%s: a defect changes the meaning of the record", s.Domain)
	}
	for _, k := range s.Keys {
		if !k.usable() {
			return fmt.Errorf("%s: no usable DKIM key of selector %s", s.Domain, k.Selector)
		}
	}
	return nil
}
