package policy

import (
	"cmp"
	"slices"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy/pattern"
)

// Match says which messages a rule is about: every key that is set must hold,
// and a key holds when one item of its list does. Which of several author
// domains and recipients must hold depends on what the rule does, see
// Settings.Decide. A key is set when it is not nil.
type Match struct {
	// Where the message came from.
	Client   []pattern.Network `json:"client,omitempty"`
	IPRev    []pattern.Domain  `json:"iprev,omitempty"`     // the client's name, which the MTA has confirmed by an address lookup
	SPFPass  []pattern.Domain  `json:"spf_pass,omitempty"`  // the domain of MAIL FROM, if SPF passed for it
	DKIMPass []pattern.Domain  `json:"dkim_pass,omitempty"` // the d= of a signature that passed with a key not in test mode
	ARCPass  []pattern.Domain  `json:"arc_pass,omitempty"`  // every sealer of a chain that passes, when one recorded a pass for the author domain
	SPF      []string          `json:"spf,omitempty"`       // the result for MAIL FROM, or HELO for the null path
	// Authenticated says whether SPF or a signature passes, for whatever domain.
	Authenticated *bool             `json:"authenticated,omitempty"`
	Listener      []string          `json:"listener,omitempty"`
	TLS           *bool             `json:"tls,omitempty"`
	HELO          []pattern.Domain  `json:"helo,omitempty"`
	MailFrom      []pattern.Domain  `json:"mail_from,omitempty"`      // whatever SPF says
	NullPath      *bool             `json:"null_path,omitempty"`      // MAIL FROM:<>
	Hours         []pattern.Hours   `json:"time,omitempty"`           // of the time of decision
	Weekdays      []pattern.Weekday `json:"weekday,omitempty"`        // the same
	TZ            *pattern.Zone     `json:"tz,omitempty"`             // of Hours and Weekdays; UTC without it
	ListID        []pattern.Domain  `json:"list_id,omitempty"`        // Facts.ListID
	IsList        *bool             `json:"list_headers,omitempty"`   // Facts.IsList
	Automatic     *bool             `json:"auto_submitted,omitempty"` // Facts.Automatic

	// What it says to be, and what DMARC found.
	Author       []pattern.Domain `json:"author,omitempty"`        // author domains
	PolicyDomain []pattern.Domain `json:"policy_domain,omitempty"` // where the record of the author domain is
	// Result lists the DMARC results of an author domain that the rule is
	// about: fail, none, permerror, temperror; or pass, which stands alone. None
	// means fail alone. A From field that gives nothing to evaluate counts as
	// permerror.
	Result         []string `json:"result,omitempty"`
	PassBy         []string `json:"pass_by,omitempty"`          // of an author domain that passes: spf, dkim, both
	EarlierSPFFail *bool    `json:"earlier_spf_fail,omitempty"` // Facts.EarlierSPFFail
	Requested      []string `json:"requested,omitempty"`        // the policy that a failing author domain publishes: none, quarantine, reject
	FromField      []From   `json:"from_field,omitempty"`       // what the From field gave
	BodyChanged    *bool    `json:"body_changed,omitempty"`     // an aligned signature verifies but for the body: DKIM.HeaderOK
	HistoryMin     *int     `json:"history_min,omitempty"`      // Author.History.Messages, at least
	HistoryMax     *int     `json:"history_max,omitempty"`      // the same, at most

	RcptDomain []pattern.Domain `json:"rcpt_domain,omitempty"`

	// Not has the keys that are written with "not_" before their names. They
	// hold when no item of their list does.
	Not Exclude `json:"not,omitzero"`
}

// Exclude is the keys of Match that can be denied.
type Exclude struct {
	Client       []pattern.Network `json:"client,omitempty"`
	IPRev        []pattern.Domain  `json:"iprev,omitempty"`
	SPFPass      []pattern.Domain  `json:"spf_pass,omitempty"`
	DKIMPass     []pattern.Domain  `json:"dkim_pass,omitempty"`
	HELO         []pattern.Domain  `json:"helo,omitempty"`
	MailFrom     []pattern.Domain  `json:"mail_from,omitempty"`
	ListID       []pattern.Domain  `json:"list_id,omitempty"`
	Author       []pattern.Domain  `json:"author,omitempty"`
	PolicyDomain []pattern.Domain  `json:"policy_domain,omitempty"`
	RcptDomain   []pattern.Domain  `json:"rcpt_domain,omitempty"`
}

// Key is one key of a Match as a rule file writes it.
type Key struct {
	Name     string // "client", "not_client"
	Set      bool   // it is written
	Items    int    // of its list; 1 for a key that is no list
	Domains  []pattern.Domain
	Networks []pattern.Network
	Flag     *bool // of a key that is true or false
}

// Keys returns every key that there is, in the order of Match and then of
// Exclude.
func (m *Match) Keys() []Key {
	n := &m.Not
	return []Key{
		networksKey("client", m.Client),
		domainsKey("iprev", m.IPRev), domainsKey("spf_pass", m.SPFPass), domainsKey("dkim_pass", m.DKIMPass), domainsKey("arc_pass", m.ARCPass),
		wordsKey("spf", m.SPF), valueKey("authenticated", m.Authenticated), wordsKey("listener", m.Listener), valueKey("tls", m.TLS), domainsKey("helo", m.HELO),
		domainsKey("mail_from", m.MailFrom), valueKey("null_path", m.NullPath),
		wordsKey("time", m.Hours), wordsKey("weekday", m.Weekdays), valueKey("tz", m.TZ),
		domainsKey("list_id", m.ListID), valueKey("list_headers", m.IsList), valueKey("auto_submitted", m.Automatic),
		domainsKey("author", m.Author), domainsKey("policy_domain", m.PolicyDomain),
		wordsKey("result", m.Result), wordsKey("pass_by", m.PassBy), valueKey("earlier_spf_fail", m.EarlierSPFFail), wordsKey("requested", m.Requested), wordsKey("from_field", m.FromField), valueKey("body_changed", m.BodyChanged),
		valueKey("history_min", m.HistoryMin), valueKey("history_max", m.HistoryMax),
		domainsKey("rcpt_domain", m.RcptDomain),
		networksKey("not_client", n.Client),
		domainsKey("not_iprev", n.IPRev), domainsKey("not_spf_pass", n.SPFPass), domainsKey("not_dkim_pass", n.DKIMPass),
		domainsKey("not_helo", n.HELO), domainsKey("not_mail_from", n.MailFrom), domainsKey("not_list_id", n.ListID),
		domainsKey("not_author", n.Author), domainsKey("not_policy_domain", n.PolicyDomain), domainsKey("not_rcpt_domain", n.RcptDomain),
	}
}

func domainsKey(name string, list []pattern.Domain) Key {
	return Key{Name: name, Set: list != nil, Items: len(list), Domains: list}
}

func networksKey(name string, list []pattern.Network) Key {
	return Key{Name: name, Set: list != nil, Items: len(list), Networks: list}
}

func wordsKey[T any](name string, list []T) Key {
	return Key{Name: name, Set: list != nil, Items: len(list)}
}

func valueKey[T any](name string, v *T) Key {
	k := Key{Name: name, Set: v != nil}
	k.Flag, _ = any(v).(*bool)
	if k.Set {
		k.Items = 1
	}
	return k
}

// clone returns a copy that shares nothing with m but maps, which do not
// change.
func (m Match) clone() Match {
	m.Client, m.Listener, m.SPF, m.PassBy = slices.Clone(m.Client), slices.Clone(m.Listener), slices.Clone(m.SPF), slices.Clone(m.PassBy)
	m.Authenticated, m.EarlierSPFFail = clonePtr(m.Authenticated), clonePtr(m.EarlierSPFFail)
	m.Hours, m.Weekdays = slices.Clone(m.Hours), slices.Clone(m.Weekdays)
	m.Result, m.Requested, m.FromField = slices.Clone(m.Result), slices.Clone(m.Requested), slices.Clone(m.FromField)
	m.Not.Client = slices.Clone(m.Not.Client)
	for _, list := range []*[]pattern.Domain{
		&m.IPRev, &m.SPFPass, &m.DKIMPass, &m.ARCPass, &m.HELO, &m.MailFrom, &m.ListID, &m.Author, &m.PolicyDomain, &m.RcptDomain,
		&m.Not.IPRev, &m.Not.SPFPass, &m.Not.DKIMPass, &m.Not.HELO, &m.Not.MailFrom, &m.Not.ListID, &m.Not.Author, &m.Not.PolicyDomain, &m.Not.RcptDomain,
	} {
		*list = slices.Clone(*list)
	}
	m.TLS, m.NullPath, m.IsList, m.Automatic, m.BodyChanged = clonePtr(m.TLS), clonePtr(m.NullPath), clonePtr(m.IsList), clonePtr(m.Automatic), clonePtr(m.BodyChanged)
	m.HistoryMin, m.HistoryMax, m.TZ = clonePtr(m.HistoryMin), clonePtr(m.HistoryMax), clonePtr(m.TZ)
	return m
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}

// message reports whether m holds for the message as a whole. The keys about
// author domains and recipients are not in it.
//
// A key that needs a fact which is missing holds if the facts suppose so.
func (m *Match) message(f *Facts) bool {
	return m.envelope(f) && m.proved(f) && m.Clock(f.Time) && m.client(f) && m.clientName(f) && m.header(f)
}

func (m *Match) envelope(f *Facts) bool {
	return (m.Listener == nil || slices.Contains(m.Listener, f.Listener)) &&
		(m.FromField == nil || slices.Contains(m.FromField, cmp.Or(f.FromField, FromUnparsable))) &&
		equals(m.NullPath, f.NullPath) &&
		named(m.HELO, m.Not.HELO, f.Helo) && named(m.MailFrom, m.Not.MailFrom, f.MailFrom)
}

// proved is about what nobody can write who is not it, and about what was proved
// at all.
func (m *Match) proved(f *Facts) bool {
	return (m.SPF == nil || slices.Contains(m.SPF, cmp.Or(f.SPF.Result, "none"))) && (m.Authenticated == nil || *m.Authenticated == f.authenticated()) &&
		(m.SPFPass == nil || f.spfPass(m.SPFPass)) && !f.spfPass(m.Not.SPFPass) &&
		(m.DKIMPass == nil || f.dkimPass(m.DKIMPass)) && !f.dkimPass(m.Not.DKIMPass)
}

// Clock reports whether the keys time and weekday hold at an instant.
func (m *Match) Clock(at time.Time) bool {
	var zone pattern.Zone
	if m.TZ != nil {
		zone = *m.TZ
	}
	at = zone.In(at)
	return (m.Hours == nil || slices.ContainsFunc(m.Hours, func(h pattern.Hours) bool { return h.Holds(at) })) &&
		(m.Weekdays == nil || slices.ContainsFunc(m.Weekdays, func(d pattern.Weekday) bool { return d.Holds(at) }))
}

func (m *Match) client(f *Facts) bool {
	some := f.supposes()
	return (m.Client == nil || f.clientIn(m.Client, some)) && !f.clientIn(m.Not.Client, !some)
}

func (m *Match) clientName(f *Facts) bool {
	if (m.IPRev != nil || m.Not.IPRev != nil) && f.missing(MissingClientName) {
		return f.supposes()
	}
	return named(m.IPRev, m.Not.IPRev, f.ClientName)
}

func (m *Match) header(f *Facts) bool {
	if (m.ListID != nil || m.Not.ListID != nil || m.IsList != nil || m.Automatic != nil || m.TLS != nil || m.EarlierSPFFail != nil) && f.missing(MissingHeader) {
		return f.supposes()
	}
	return named(m.ListID, m.Not.ListID, f.ListID) && equals(m.IsList, f.IsList) && equals(m.Automatic, f.Automatic) && equals(m.TLS, f.TLS) &&
		equals(m.EarlierSPFFail, f.EarlierSPFFail)
}

// author reports whether m holds for one author domain.
func (m *Match) author(f *Facts, s *subject) bool {
	return m.result(s.result) && m.domains(s) && m.requested(s) &&
		(m.PassBy == nil || slices.Contains(m.PassBy, s.passBy())) &&
		(m.ARCPass == nil || f.arcPass(m.ARCPass, s.Author)) &&
		(m.BodyChanged == nil || *m.BodyChanged == f.bodyChanged(s.Author)) && m.history(f, s)
}

func (m *Match) result(result string) bool {
	if m.Result == nil {
		return result == dmarc.Fail.String()
	}
	return slices.Contains(m.Result, result)
}

// passes reports whether m is about author domains that pass, and about no others.
func (m *Match) passes() bool { return slices.Contains(m.Result, passWord) }

func (m *Match) requested(s *subject) bool {
	return m.Requested == nil || s.result == dmarc.Fail.String() && slices.Contains(m.Requested, s.Verdict.Policy.String())
}

func (m *Match) domains(s *subject) bool {
	org := s.policyOrg()
	return (m.Author == nil || oneHolds(m.Author, s.Domain, s.Org)) && !oneHolds(m.Not.Author, s.Domain, s.Org) &&
		(m.PolicyDomain == nil || oneHolds(m.PolicyDomain, s.PolicyDomain, org)) && !oneHolds(m.Not.PolicyDomain, s.PolicyDomain, org)
}

// history: nobody has seen anything of no domain, not even that it never
// wrote. LackHistory is about domains for which no evidence was looked for.
func (m *Match) history(f *Facts, s *subject) bool {
	switch {
	case m.HistoryMin == nil && m.HistoryMax == nil:
		return true
	case s.Domain == "":
		return false
	case f.missing(MissingHistory) && !EvidenceMatters(s.Verdict):
		return f.supposes()
	}
	n := s.History.Messages
	return (m.HistoryMin == nil || n >= *m.HistoryMin) && (m.HistoryMax == nil || n <= *m.HistoryMax)
}

// authors reports whether m holds for the author domains that it can be about,
// those that did not pass or those that did: for all, or for one of them. about has a bit for each for which it holds.
func (m *Match) authors(t *trial, every bool) (about uint8, holds bool) {
	all := true
	for i := range t.subjects() {
		s := &t.room[i]
		switch {
		case (s.result == passWord) != m.passes():
		case m.author(&t.facts, s):
			about |= 1 << i
		default:
			all = false
		}
	}
	return about, about != 0 && (all || !every)
}

// recipients reports whether m holds for the recipients: for all, or for one of
// them. A message of which no recipient is known is nobody's.
func (m *Match) recipients(f *Facts, every bool) bool {
	switch {
	case m.RcptDomain == nil && m.Not.RcptDomain == nil:
		return true
	case f.missing(MissingRecipients):
		return f.supposes()
	}
	n := 0
	for _, d := range f.Recipients {
		if named(m.RcptDomain, m.Not.RcptDomain, d) {
			n++
		}
	}
	return n > 0 && (!every || n == len(f.Recipients))
}

// named reports whether the patterns of a key hold a domain and those of its
// denial do not. A key that is not there holds.
func named(key, not []pattern.Domain, domain string) bool {
	return (key == nil || oneHolds(key, domain, "")) && !oneHolds(not, domain, "")
}

func oneHolds(patterns []pattern.Domain, domain, org string) bool {
	return slices.ContainsFunc(patterns, func(p pattern.Domain) bool { return p.Holds(domain, org) })
}

func equals(key *bool, fact bool) bool { return key == nil || *key == fact }
