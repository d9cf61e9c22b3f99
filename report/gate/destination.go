package gate

import (
	"cmp"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/message"
	"dmarcgate/report/consent"
)

// MaxDestinations is how many mailboxes get one report: our limit. A receiver
// must serve at least two (RFC 7489, Section 6.2), and a record has more only
// where a record of consent names several instead of one.
const MaxDestinations = 10

// maxTargets is how many URIs are looked at for one report: our limit. The records
// of consent of one host can name thousands.
const maxTargets = 100

// Limits of an address (RFC 5321, Section 4.5.3.1).
const (
	maxLocalPart = 64
	maxAddress   = 254
)

// Destination is a mailbox that a record wants reports at.
type Destination struct {
	URI     string        // as published: foreign bytes
	Address string        // for RCPT TO and To, without quotes; case of the local part as published
	Key     string        // Address in lower case: equal for one mailbox
	Host    string        // domain of the address, lower-case A-labels
	Counted string        // the name that limits count its mail under: CountedAs of Host
	Consent consent.State // what its host says
	Why     Why           // Open where the host allows reports
}

// Destinations returns the mailboxes for aggregate reports of a record, from
// what package consent found, in the order of the record. Each mailbox comes
// once; a mailbox that no mail may go to comes with its Why. URIs that are no
// mail addresses are left out, as RFC 9990, Section 3.5 asks, and so are those
// beyond maxTargets.
func Destinations(list []consent.Destination) []Destination {
	var out []Destination
	seen := make(map[string]bool)
	open, looked := 0, 0
	for _, d := range list {
		if d.Tag != "rua" || d.Consent == consent.Ignored {
			continue
		}
		for _, uri := range targets(d) {
			if looked++; looked > maxTargets {
				return out
			}
			to := destination(d, uri)
			if seen[to.Key] {
				continue
			}
			seen[to.Key] = to.Key != ""
			if to.Why == Open {
				if open++; open > MaxDestinations {
					to.Why = TooManyTargets
				}
			}
			out = append(out, to)
		}
	}
	return out
}

// targets returns the URIs of a destination: those that its host wants instead,
// or its own (RFC 9990, Section 4, step 8).
func targets(d consent.Destination) []string {
	if d.Consent == consent.Granted && len(d.Instead) > 0 {
		return d.Instead
	}
	return []string{d.URI}
}

// destination reads one URI.
func destination(d consent.Destination, uri string) Destination {
	to := Destination{URI: uri, Consent: d.Consent}
	if raw, ok := consent.MailtoAddress(uri); ok {
		to.Address, to.Host = canonical(raw)
	}
	to.Key, to.Counted = strings.ToLower(to.Address), CountedAs(to.Host)
	switch {
	case to.Host == "":
		to.Why = BadAddress
	case to.Host != d.Host: // package consent asked another host
		to.Why = Unauthorized
	case d.Consent == consent.Unknown:
		to.Why = ConsentUnknown
	case !allows(d.Consent):
		to.Why = Unauthorized
	}
	return to
}

// CountedAs returns the name under which limits count mail to a host: its
// organizational domain by the public suffix list. A wildcard of the DNS gives
// one domain any number of hosts.
func CountedAs(host string) string {
	return cmp.Or(dmarc.PublicSuffix().Org(host), host)
}

// allows reports whether reports may go to a host that says so.
func allows(s consent.State) bool { return s == consent.Internal || s == consent.Granted }

// ours reports whether a destination is an address of our reports: that they are
// from, or a return path (package report/verp), which would take a report for a
// bounce.
func (g *Gate) ours(to Destination) bool {
	return to.Key == strings.ToLower(g.Identity.Email) || to.Host == g.Identity.BounceDomain && strings.HasPrefix(to.Key, returnPath)
}

// returnPath is how the return paths of report mail begin.
const returnPath = "b+"

// hostOf returns the domain of an address that canonical accepts, or "".
func hostOf(addr string) string {
	_, host := canonical(addr)
	return host
}

// canonical returns an address in the one form that is safe in SMTP and in a
// header field, and its domain. Both are "" for what is no mailbox, or not one
// that every MTA understands in the same way:
//
//   - a local part that is no dot-atom (RFC 5322, Section 3.2.3) and would need
//     quotes, such as one with a blank, a comma or a line break;
//   - a local part with "%" or "!", which name a further host to MTAs that still
//     route by it (RFC 1123, Section 5.2.16);
//   - a domain without a dot, which a resolver or an MTA completes.
func canonical(addr string) (address, host string) {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return "", ""
	}
	local := unquoted(addr[:at])
	host, err := message.ParseDomain(addr[at+1:])
	if err != nil || !isDotAtom(local) || strings.ContainsAny(local, "%!") || !strings.Contains(host, ".") {
		return "", ""
	}
	if len(local) > maxLocalPart || len(local)+1+len(host) > maxAddress {
		return "", ""
	}
	return local + "@" + host, host
}

// unquoted takes the quotes of a local part away, which are needless around a
// dot-atom (RFC 5321, Section 4.1.2).
func unquoted(local string) string {
	if n := len(local); n > 2 && local[0] == '"' && local[n-1] == '"' {
		return local[1 : n-1]
	}
	return local
}

// isDotAtom reports whether s is a dot-atom-text (RFC 5322, Section 3.2.3).
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.Trim(atom, atext) != "" {
			return false
		}
	}
	return true
}

const atext = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~"
