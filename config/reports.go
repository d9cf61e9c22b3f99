package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy/pattern"
)

// Limits of texts of [reports], in bytes: ours. Each is repeated in every report.
const (
	maxOrganization = 100
	maxContact      = 200
	maxMailbox      = 254 // RFC 5321, Section 4.5.3.1.3
	maxLocalPart    = 64  // RFC 5321, Section 4.5.3.1.1
	maxSelector     = 63  // of one label (RFC 1035, Section 2.3.4), which is enough
)

// checkShown returns the check of a text that stands in reports.
func checkShown(limit int) func(string) error {
	return func(s string) error {
		hidden := func(r rune) bool { return !unicode.IsPrint(r) }
		switch {
		case len(s) > limit:
			return tomlfile.Faultf(fmt.Sprintf("shorten it to %d bytes", limit), "has %d bytes", len(s))
		case !utf8.ValidString(s) || strings.ContainsFunc(s, hidden):
			return tomlfile.Faultf("write printable characters, in one line", "%q cannot stand in a report", s)
		case strings.TrimSpace(s) != s:
			return tomlfile.Faultf("remove the blanks around it", "%q begins or ends with a blank", s)
		}
		return nil
	}
}

// parseMailbox reads an address of the site, or none.
func parseMailbox(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return parseOneMailbox(s)
}

// parseOneMailbox reads an address of the site, which is in plain form: no
// quotes, and nothing that an MTA could read as a route.
func parseOneMailbox(s string) (string, error) {
	local, domain, _ := strings.Cut(s, "@")
	plain := local != "" && len(local) <= maxLocalPart && only(local, alphanumeric+"-_.+=") &&
		!slices.Contains(strings.Split(local, "."), "")
	if d, err := parseOneMailDomain(domain); plain && err == nil && len(s) <= maxMailbox {
		return strings.ToLower(local) + "@" + d, nil
	}
	return "", tomlfile.Faultf(`write for example "dmarc-reports@example.org"`, "%q is not a plain mail address", s)
}

// parseMailDomain reads a domain, or none.
func parseMailDomain(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return parseOneMailDomain(s)
}

// parseOneMailDomain reads the full name of a domain that has mail.
func parseOneMailDomain(s string) (string, error) {
	p, err := pattern.ParseDomain(s)
	if err != nil || p.Kind() != pattern.Exact || !strings.Contains(s, ".") {
		return "", tomlfile.Faultf(`write a domain in ASCII, for example "example.org"`, "%q is not the full name of a domain", s)
	}
	return p.Name(), nil
}

// parsePolicyDomain reads a domain or a set of them.
func parsePolicyDomain(s string) (pattern.Domain, error) {
	p, err := pattern.ParseDomain(s)
	return p, tomlfile.AsFault(err)
}

// checkSelector checks the selector of a DKIM key (RFC 6376, Section 3.1).
func checkSelector(s string) error {
	if s != "" && (len(s) > maxSelector || !only(s, alphanumeric+"-_.") || slices.Contains(strings.Split(s, "."), "")) {
		return tomlfile.Faultf(`write for example "reports1", for a key at reports1._domainkey`, "%q is not a selector", s)
	}
	return nil
}

// parseSmarthost reads where report mail is handed over, or "".
func parseSmarthost(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(s)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || n == 0 || host == "" || !isHost(host) {
		return "", tomlfile.Faultf(`write host and port, for example "mail.example.org:587" or "127.0.0.1:25"`, "%q is not a host with a port", s)
	}
	return net.JoinHostPort(strings.ToLower(host), port), nil
}

// parseBounceListen reads the address on which bounces come in; "" is none. A client that
// connects can report a failure of any report, so only this host may connect.
func parseBounceListen(s string) (Address, error) {
	if s == "" {
		return Address{}, nil
	}
	a, err := parseAddress(s)
	if err != nil {
		return Address{}, err
	}
	if a.Network == "unix" || a.Network == "tcp" && isLoopback(a.Addr) {
		return a, nil
	}
	return Address{}, tomlfile.Faultf(`write "tcp:127.0.0.1:2424", or "unix:/run/dmarcgate/bounces.sock"`, "%q is not a socket of this host alone", s)
}

// checkReports checks what concerns several keys of [reports].
func checkReports(r Reports) []tomlfile.Fault {
	var faults []tomlfile.Fault
	if r.AuthFile != "" && (r.TLS == "none" || r.TLS == "may") {
		faults = append(faults, tomlfile.Fault{
			At: "reports.auth_file", Or: "reports.tls",
			Text: fmt.Sprintf("the password could cross the network in plain text with tls = %q", r.TLS),
			Fix:  `write tls = "verify"`,
		})
	}
	if r.BounceListen != (Address{}) && r.BounceMaildir != "" {
		faults = append(faults, tomlfile.Fault{
			At: "reports.bounce_maildir", Or: "reports.bounce_listen",
			Text: "bounces come in by bounce_listen already", Fix: "remove one of the two keys",
		})
	}
	for i, d := range r.Destinations {
		if slices.ContainsFunc(r.Destinations[:i], func(o ReportDestination) bool { return o.Host == d.Host }) {
			faults = append(faults, tomlfile.Fault{
				At:   tomlfile.Element("reports.destination", i) + ".host",
				Text: fmt.Sprintf("another [[reports.destination]] has %q", d.Host), Fix: "write one table for each host",
			})
		}
	}
	return faults
}

// Missing returns the keys of [reports] that must be set before a report can be
// sent, and are not.
func (r Reports) Missing() []string {
	var keys []string
	for _, k := range []struct{ key, value string }{
		{"organization", r.Organization}, {"email", r.Email}, {"submitter", r.Submitter},
		{"selector", r.Selector}, {"key_file", r.KeyFile}, {"smarthost", r.Smarthost},
	} {
		if k.value == "" {
			keys = append(keys, k.key)
		}
	}
	return keys
}

// reportWarnings names what keeps reports from being sent although sending is
// switched on, and what a site should know of its reports. The daemon runs on:
// mail does not wait for reports.
func reportWarnings(c *Config) []tomlfile.Fault {
	r := c.Reports
	if !r.Send {
		return nil
	}
	faults := unreportable(c)
	add := func(key, text, fix string) {
		faults = append(faults, tomlfile.Fault{At: "reports." + key, Or: "reports.send", Text: text, Fix: fix})
	}
	for _, key := range r.Missing() {
		add(key, "is not set: no report is sent although send = true", "set "+key+", or write send = false")
	}
	if r.BounceListen == (Address{}) && r.BounceMaildir == "" {
		add("bounce_listen", "is not set, and bounce_maildir neither: addresses that take no reports are found only where the smarthost refuses them",
			`write for example bounce_listen = "tcp:127.0.0.1:2424"`)
	}
	if len(r.OwnDomains) == 0 {
		add("own_domains", "is not set: reports about mail of your own domains may be sent", "list the domains that this host receives mail for")
	}
	if host, _, err := net.SplitHostPort(r.Smarthost); err == nil && (r.TLS == "none" || r.TLS == "may") && !isLoopback(net.JoinHostPort(host, "25")) && host != "localhost" {
		add("tls", fmt.Sprintf("%q lets reports cross the network in plain text (RFC 9990, Section 3.5)", r.TLS), `write tls = "verify"`)
	}
	return faults
}

// reportTime is how old a row is at most when it is reported: its day, the time
// that other hosts have to hand over their rows, and half a day to make and send the
// reports.
const reportTime = day + 6*hour + 12*hour

// unreportable finds settings that take away what reports are made from.
func unreportable(c *Config) []tomlfile.Fault {
	var faults []tomlfile.Fault
	add := func(key, text, fix string) {
		faults = append(faults, tomlfile.Fault{At: key, Or: "reports.send", Text: text, Fix: fix})
	}
	if c.Store.Durability == "off" {
		add("store.durability", "no results are recorded: there is nothing to report", `write durability = "ack"`)
	}
	if d := c.Privacy.ShortenIPAfter; d > 0 && d < reportTime {
		add("privacy.shorten_ip_after", fmt.Sprintf("%v shortens clients before they are reported: messages without the address are in no report", d),
			fmt.Sprintf("write %v or more", reportTime))
	}
	if d := longest(c.Store); d > 0 && d < reportTime {
		add("store.retention", fmt.Sprintf("%v deletes results before they are reported", d), `write "2d" or more`)
	}
	return faults
}
