package doctor

import (
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/mta/postfix"
	"dmarcgate/term"
)

// ways looks at content filters: on which side of them our milter is asked.
func (h *Host) ways(r *report, m mta) {
	asked := func(list []postfix.Service) (first *hop) {
		for n := range m.hops {
			if slices.ContainsFunc(list, same(m.hops[n].s)) {
				return &m.hops[n]
			}
		}
		return nil
	}
	public, inner := asked(m.public), asked(m.inner)
	filter, queued := m.filter()
	switch {
	case filter == "":
	case public != nil && inner != nil:
		r.once("reinjected", put(master(m.Instance, inner.s), "-o smtpd_milters="),
			"%s asks dmarcgate again when the content filter %s returns a message: the client is this host then, and the results of the first time are removed as forged", inner.s.ID(), term.Printable(filter))
	case public == nil && inner != nil && queued:
		r.once("behind_filter", put(master(m.Instance, m.public[0]), "-o { smtpd_milters = %s }", postfix.FormatMilters(inner.list)),
			"only %s, behind the content filter %s, asks dmarcgate: the message is in the queue already, so a refusal is a bounce to an address that may be forged, and the client is this host", inner.s.ID(), term.Printable(filter))
	}
}

// filter returns the content filter of the instance, and whether it works on
// queued messages.
func (m mta) filter() (name string, queued bool) {
	for _, s := range m.public {
		if v := m.Value(s, "content_filter"); v != "" {
			return v, true
		}
		if v := m.Value(s, "smtpd_proxy_filter"); v != "" {
			return v, false
		}
	}
	return "", false
}

// pickup looks at mail of local programs, and of content filters that return mail
// through sendmail(1).
func (h *Host) pickup(r *report, m mta) {
	list, err := postfix.ParseMilters(m.Values["non_smtpd_milters"])
	if err != nil {
		r.once("milter_list", put(m.Dir+"/main.cf", "non_smtpd_milters = %s", h.ourLine()), "Postfix ends with an error at non_smtpd_milters: %s", term.Printable(err.Error()))
		return
	}
	cleanup, _ := m.Service("cleanup/unix")
	at := slices.IndexFunc(list, func(one postfix.Milter) bool { return h.ours(m.Instance, cleanup, one) != nil })
	filter, queued := m.filter()
	pipes := queued && m.Piped(filter)
	fix := func(list []postfix.Milter) []Fix {
		return put(m.Dir+"/main.cf", "non_smtpd_milters = %s", postfix.FormatMilters(list))
	}
	switch {
	case at >= 0 && pipes:
		rest := slices.DeleteFunc(slices.Clone(list), func(one postfix.Milter) bool { return one.Address == list[at].Address })
		r.once("pickup_reinjects", fix(rest),
			"the content filter %s returns mail through sendmail(1), and non_smtpd_milters asks dmarcgate again: the results of the first time are removed as forged", term.Printable(filter))
	case at < 0 && !pipes && !(queued && m.onlyInner()):
		r.once("non_smtpd_milters", fix(slices.Insert(list, 0, m.hops[0].milter())),
			"mail of sendmail(1) does not pass dmarcgate: results that a local program has forged under the name of this host stay in the mail")
	}
}

// onlyInner tells whether only services behind a filter ask us.
func (m mta) onlyInner() bool {
	return !slices.ContainsFunc(m.hops, func(o hop) bool { return !slices.ContainsFunc(m.inner, same(o.s)) })
}

// service looks at the kind of mail that one smtpd takes.
func (h *Host) service(r *report, m mta, o hop) {
	if v := o.i.Value(o.s, "smtpd_proxy_filter"); v != "" {
		r.once("proxy_filter", put(master(o.i, o.s), "-o smtpd_milters="),
			"%s has smtpd_proxy_filter %s: milters see no header and no body there, and nothing is checked; set smtpd_milters on the service that the filter returns mail to, and make the address of the filter a [[trusted_relay]]", o.s.ID(), term.Printable(v))
	}
	if submission(o.i, o.s) {
		if o.i.Value(o.s, "smtpd_sasl_auth_enable") != "yes" {
			r.once("submission_open", put(master(o.i, o.s), "-o smtpd_sasl_auth_enable=yes"), "%s is for mail of your users, and they do not authenticate: their mail is evaluated as mail from outside, and fails", o.s.ID())
		}
		return
	}
	if !slices.ContainsFunc(m.inner, same(o.s)) {
		h.ownMail(r, o)
	}
}

// ownMail finds networks whose mail Postfix relays as its own and dmarcgate
// evaluates.
func (h *Host) ownMail(r *report, o hop) {
	var open []string
	for _, p := range networks(o.i.Value(o.s, "mynetworks")) {
		if p.Addr().IsLoopback() || h.own(p) || slices.ContainsFunc(o.listener.TrustedNetworks, func(t netip.Prefix) bool { return t.Bits() <= p.Bits() && t.Contains(p.Addr()) }) {
			continue
		}
		open = append(open, p.String())
	}
	if len(open) == 0 {
		return
	}
	quoted := make([]string, 0, maxShown)
	for _, p := range open[:min(len(open), maxShown)] {
		quoted = append(quoted, `"`+p+`"`)
	}
	r.once("own_mail_evaluated", put(h.Path, "trusted_networks = [%s]", strings.Join(quoted, ", ")),
		"Postfix relays mail for %s (mynetworks), and listener %s evaluates that mail as mail from outside; name the networks in trusted_networks, unless one of them is a relay that takes mail from the world ([[trusted_relay]])", some(open), o.listener.Name)
}

// own tells whether a network is one address of this host.
func (h *Host) own(p netip.Prefix) bool {
	return p.IsSingleIP() && slices.ContainsFunc(h.Addresses, func(a netip.Addr) bool { return a.Unmap() == p.Addr() })
}

// networks reads mynetworks. What is no network, such as a table, is left out.
func networks(text string) []netip.Prefix {
	var out []netip.Prefix
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(", \t\r\n", c) }) {
		word = strings.NewReplacer("[", "", "]", "").Replace(word)
		p, err := netip.ParsePrefix(word)
		if a, addrErr := netip.ParseAddr(word); addrErr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			continue
		}
		if p.Addr().Is4In6() {
			p = netip.PrefixFrom(p.Addr().Unmap(), max(0, p.Bits()-96))
		}
		out = append(out, p.Masked())
	}
	return out
}
