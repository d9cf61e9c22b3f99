package policy

import "slices"

// matchKey is one key of a Match as a rule file writes it.
type matchKey struct {
	name     string // "client_ip", "not_client_ip"
	there    bool   // it is written
	items    int    // of its list; 1 for a key that is no list
	domains  []DomainPattern
	networks []NetPattern
}

// keys returns every key that there is, in the order of Match and then of
// Exclude.
func (m *Match) keys() []matchKey {
	n := &m.Not
	return []matchKey{
		networksKey("client_ip", m.ClientIP),
		domainsKey("iprev", m.IPRev), domainsKey("spf_pass", m.SPFPass), domainsKey("dkim_pass", m.DKIMPass), domainsKey("arc_pass", m.ARCPass),
		wordsKey("listener", m.Listener), valueKey("tls", m.TLS), domainsKey("helo", m.HELO),
		domainsKey("mail_from_domain", m.MailFrom), valueKey("null_path", m.NullPath),
		wordsKey("time", m.Hours), wordsKey("weekday", m.Weekdays),
		domainsKey("list_id", m.ListID), valueKey("list_headers", m.IsList), valueKey("auto_submitted", m.Automatic),
		domainsKey("header_from", m.HeaderFrom), domainsKey("policy_domain", m.PolicyDomain),
		wordsKey("result", m.Result), wordsKey("requested", m.Requested), wordsKey("from", m.From), valueKey("body_changed", m.BodyChanged),
		valueKey("history_min", m.HistoryMin), valueKey("history_max", m.HistoryMax),
		domainsKey("rcpt_domain", m.RcptDomain),
		networksKey("not_client_ip", n.ClientIP),
		domainsKey("not_iprev", n.IPRev), domainsKey("not_spf_pass", n.SPFPass), domainsKey("not_dkim_pass", n.DKIMPass),
		domainsKey("not_helo", n.HELO), domainsKey("not_mail_from_domain", n.MailFrom), domainsKey("not_list_id", n.ListID),
		domainsKey("not_header_from", n.HeaderFrom), domainsKey("not_policy_domain", n.PolicyDomain), domainsKey("not_rcpt_domain", n.RcptDomain),
	}
}

func domainsKey(name string, list []DomainPattern) matchKey {
	return matchKey{name: name, there: list != nil, items: len(list), domains: list}
}

func networksKey(name string, list []NetPattern) matchKey {
	return matchKey{name: name, there: list != nil, items: len(list), networks: list}
}

func wordsKey[T any](name string, list []T) matchKey {
	return matchKey{name: name, there: list != nil, items: len(list)}
}

func valueKey[T any](name string, v *T) matchKey {
	k := matchKey{name: name, there: v != nil}
	if k.there {
		k.items = 1
	}
	return k
}

// clone returns a copy that shares nothing with m but maps, which do not
// change.
func (m Match) clone() Match {
	m.ClientIP, m.Listener = slices.Clone(m.ClientIP), slices.Clone(m.Listener)
	m.Hours, m.Weekdays = slices.Clone(m.Hours), slices.Clone(m.Weekdays)
	m.Result, m.Requested, m.From = slices.Clone(m.Result), slices.Clone(m.Requested), slices.Clone(m.From)
	m.Not.ClientIP = slices.Clone(m.Not.ClientIP)
	for _, list := range []*[]DomainPattern{
		&m.IPRev, &m.SPFPass, &m.DKIMPass, &m.ARCPass, &m.HELO, &m.MailFrom, &m.ListID, &m.HeaderFrom, &m.PolicyDomain, &m.RcptDomain,
		&m.Not.IPRev, &m.Not.SPFPass, &m.Not.DKIMPass, &m.Not.HELO, &m.Not.MailFrom, &m.Not.ListID, &m.Not.HeaderFrom, &m.Not.PolicyDomain, &m.Not.RcptDomain,
	} {
		*list = slices.Clone(*list)
	}
	m.TLS, m.NullPath, m.IsList, m.Automatic, m.BodyChanged = clonePtr(m.TLS), clonePtr(m.NullPath), clonePtr(m.IsList), clonePtr(m.Automatic), clonePtr(m.BodyChanged)
	m.HistoryMin, m.HistoryMax = clonePtr(m.HistoryMin), clonePtr(m.HistoryMax)
	return m
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
