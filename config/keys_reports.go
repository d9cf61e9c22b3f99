package config

import (
	"dmarcgate/config/tomlfile"
	"dmarcgate/policy/pattern"
)

// The keys of [reports] and [[reports.destination]]: place, default and range.

// Reports is what is reported to the owners of domains, by whom, and how the
// mail leaves. Nothing is sent unless Send is true and the keys of
// MissingForReports are set.
type Reports struct {
	Send   bool
	Schema string // rfc9990 or rfc7489

	Organization string
	Email        string // mailbox that reports are from, lower case
	Submitter    string // domain, lower-case A-labels
	Contact      string // text or link for the readers of reports

	Selector string // of the DKIM key
	KeyFile  string // absolute

	Smarthost     string  // host:port
	TLS           string  // verify, implicit, encrypt, may or none
	AuthFile      string  // absolute; user and password, "" is no authentication
	BounceDomain  string  // of MAIL FROM; that of Email when not set
	BounceListen  Address // where bounces come in by LMTP: a Unix socket, or TCP on loopback; zero is none
	BounceMaildir string  // absolute; "" is none

	Addresses  []string // further mailboxes of the site that get reports of others, lower case
	OwnDomains []string // domains of the site: never reported about
	Include    []pattern.Domain
	Exclude    []pattern.Domain

	MinAge       tomlfile.Duration // how long an organization is known before the first report to it
	DryRun       tomlfile.Duration // after sending was first switched on, in which nothing is sent
	MaxNewHosts  int               // hosts a day that never had a report
	MaxPerHost   int               // mails a day to one host
	MaxPerDay    int               // mails a day
	MaxPerMinute int               // mails a minute
	MaxMailSize  tomlfile.Size     // of a mail with its report, encoded
	MaxXMLSize   tomlfile.Size     // of a report before compression

	Destinations []ReportDestination
}

// ReportDestination is what holds for the destinations at one host.
type ReportDestination struct {
	Host      string // domain of the address, lower-case A-labels
	Schema    string // "" is Reports.Schema
	MaxPerDay int    // 0 is Reports.MaxPerHost
}

func reportDefaults(c *Config) {
	c.Reports = Reports{
		Schema: "rfc9990", TLS: "verify", MinAge: 7 * day, DryRun: 7 * day,
		MaxNewHosts: 50, MaxPerHost: 100, MaxPerDay: 5000, MaxPerMinute: 60,
		MaxMailSize: 10e6, MaxXMLSize: 16 * tomlfile.MiB,
	}
}

// reportFields are the keys of [reports].
func reportFields(c *Config) []tomlfile.Field {
	return []tomlfile.Field{
		tomlfile.Flag("reports.send", &c.Reports.Send),
		tomlfile.Choice("reports.schema", &c.Reports.Schema, "rfc9990", "rfc7489"),

		tomlfile.Text("reports.organization", &c.Reports.Organization, checkShown(maxOrganization)),
		tomlfile.Parsed("reports.email", &c.Reports.Email, parseMailbox),
		tomlfile.Parsed("reports.submitter", &c.Reports.Submitter, parseMailDomain),
		tomlfile.Text("reports.contact", &c.Reports.Contact, checkShown(maxContact)),

		tomlfile.Text("reports.selector", &c.Reports.Selector, checkSelector),
		tomlfile.Parsed("reports.key_file", &c.Reports.KeyFile, parseOptionalPath),

		tomlfile.Parsed("reports.smarthost", &c.Reports.Smarthost, parseSmarthost),
		tomlfile.Choice("reports.tls", &c.Reports.TLS, "verify", "implicit", "encrypt", "may", "none"),
		tomlfile.Parsed("reports.auth_file", &c.Reports.AuthFile, parseOptionalPath),
		tomlfile.Parsed("reports.bounce_domain", &c.Reports.BounceDomain, parseMailDomain),
		tomlfile.Parsed("reports.bounce_listen", &c.Reports.BounceListen, parseBounceListen),
		tomlfile.Parsed("reports.bounce_maildir", &c.Reports.BounceMaildir, parseOptionalPath),

		tomlfile.List("reports.addresses", &c.Reports.Addresses, parseOneMailbox),
		tomlfile.List("reports.own_domains", &c.Reports.OwnDomains, parseOneMailDomain),
		tomlfile.List("reports.include", &c.Reports.Include, parsePolicyDomain),
		tomlfile.List("reports.exclude", &c.Reports.Exclude, parsePolicyDomain),

		tomlfile.DurationBetween("reports.min_age", &c.Reports.MinAge, day, 365*day),
		tomlfile.DurationBetween("reports.dry_run", &c.Reports.DryRun, 0, 90*day),
		tomlfile.NumberBetween("reports.max_new_hosts_per_day", &c.Reports.MaxNewHosts, 0, 10_000),
		tomlfile.NumberBetween("reports.max_per_host_per_day", &c.Reports.MaxPerHost, 1, 10_000),
		tomlfile.NumberBetween("reports.max_per_day", &c.Reports.MaxPerDay, 1, 1_000_000),
		tomlfile.NumberBetween("reports.max_per_minute", &c.Reports.MaxPerMinute, 1, 6000),
		// RFC 7489, Section 8: who takes reports must take mail of 10 MB.
		tomlfile.SizeBetween("reports.max_mail_size", &c.Reports.MaxMailSize, 64*tomlfile.KiB, 50*tomlfile.MiB),
		tomlfile.SizeBetween("reports.max_xml_size", &c.Reports.MaxXMLSize, tomlfile.MiB, 64*tomlfile.MiB),
	}
}

// destinationFields is the same for the [[reports.destination]] at path.
func destinationFields(path string, d *ReportDestination) []tomlfile.Field {
	return []tomlfile.Field{
		tomlfile.Required(`write the domain of the addresses, for example host = "reports.example.com"`,
			tomlfile.Parsed(path+".host", &d.Host, parseOneMailDomain)),
		tomlfile.Text(path+".schema", &d.Schema, func(s string) error {
			if s == "" {
				return nil
			}
			return tomlfile.OneOf(s, []string{"rfc9990", "rfc7489"})
		}),
		tomlfile.NumberBetween(path+".max_per_day", &d.MaxPerDay, 0, 10_000),
	}
}

// reportEffects has the keys above that shape no facts: see effect. Addresses of
// reports make the fact report_traffic, on which no decision depends.
var reportEffects = map[string]effect{
	"reports.send":                    neutral,
	"reports.schema":                  neutral,
	"reports.organization":            neutral,
	"reports.email":                   neutral,
	"reports.submitter":               neutral,
	"reports.contact":                 neutral,
	"reports.selector":                neutral,
	"reports.key_file":                neutral,
	"reports.smarthost":               neutral,
	"reports.tls":                     neutral,
	"reports.auth_file":               neutral,
	"reports.bounce_domain":           neutral,
	"reports.bounce_listen":           neutral,
	"reports.bounce_maildir":          neutral,
	"reports.addresses":               neutral,
	"reports.own_domains":             neutral,
	"reports.include":                 neutral,
	"reports.exclude":                 neutral,
	"reports.min_age":                 neutral,
	"reports.dry_run":                 neutral,
	"reports.max_new_hosts_per_day":   neutral,
	"reports.max_per_host_per_day":    neutral,
	"reports.max_per_day":             neutral,
	"reports.max_per_minute":          neutral,
	"reports.max_mail_size":           neutral,
	"reports.max_xml_size":            neutral,
	"reports.destination.host":        neutral,
	"reports.destination.schema":      neutral,
	"reports.destination.max_per_day": neutral,
}
