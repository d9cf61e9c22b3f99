package site

import (
	"path/filepath"
	"time"

	"dmarcgate/config"
	"dmarcgate/enforce"
	"dmarcgate/report/gate"
)

// Reports is [reports] in the words of the rooms that make and send reports.
type Reports struct {
	Gate    gate.Gate // without what the identity check and the queue know
	Contact string    // for the readers of reports
	MaxMail int64     // bytes of a mail, encoded
	MaxXML  int64     // bytes of a report before compression

	schema  string
	schemas map[string]string // by host
}

// ReportsOf returns what the configuration says. key is the record to publish for
// the DKIM key that signs reports; "" without a key that can be used, which keeps
// the gate closed.
func ReportsOf(cfg *config.Config, key string) Reports {
	r := cfg.Reports
	out := Reports{
		Contact: r.Contact, MaxMail: int64(r.MaxMailSize), MaxXML: int64(r.MaxXMLSize),
		schema: r.Schema, schemas: map[string]string{},
		Gate: gate.Gate{
			Send: r.Send, Own: r.OwnDomains, Include: r.Include, Exclude: r.Exclude, MinAge: r.MinAge.Std(), DryRun: r.DryRun.Std(),
			Identity: gate.Identity{
				Organization: r.Organization, Email: r.Email, Submitter: r.Submitter, BounceDomain: r.BounceDomain,
				Selector: r.Selector, Key: key, Smarthost: r.Smarthost,
			},
			Caps: gate.Caps{
				NewHosts: int64(r.MaxNewHosts), PerHost: int64(r.MaxPerHost), PerDay: int64(r.MaxPerDay), PerMinute: int64(r.MaxPerMinute),
				Hosts: map[string]int64{},
			},
		},
	}
	for _, d := range r.Destinations {
		if d.Schema != "" {
			out.schemas[d.Host] = d.Schema
		}
		if counted := gate.CountedAs(d.Host); d.MaxPerDay > 0 {
			out.Gate.Caps.Hosts[counted] = max(out.Gate.Caps.Hosts[counted], int64(d.MaxPerDay))
		}
	}
	return out
}

// ReportQueue is the path of this host's queue of reports: beside the store. Hosts that
// share a PostgreSQL have their queue there instead.
func ReportQueue(cfg *config.Config) string {
	return filepath.Join(filepath.Dir(cfg.Store.Path), "reports.db")
}

// Schema returns the schema of reports to a host, rfc9990 or rfc7489.
func (r Reports) Schema(host string) string {
	if s, ok := r.schemas[host]; ok {
		return s
	}
	return r.schema
}

// maxCatchUp is how old a day may be that is still reported: our limit.
const maxCatchUp = 7 * 24 * time.Hour

// ReportCatchUp returns how long after its end a day may still be reported: until
// its rows lose the addresses of clients, or are deleted, and for maxCatchUp at
// most. It is 0 where the first rows are lost before the day ends.
func ReportCatchUp(cfg *config.Config) time.Duration {
	keep, retention := maxCatchUp, cfg.Store.Retention
	if cfg.Store.Postgres.URL != "" {
		retention = cfg.Store.Postgres.Retention
	}
	for _, d := range []time.Duration{cfg.Privacy.ShortenIPAfter.Std(), retention.Std()} {
		if d > 0 {
			keep = min(keep, d-24*time.Hour)
		}
	}
	return max(keep, 0)
}

// reportAddresses are the addresses whose mail belongs to the exchange of reports,
// whether reports are sent or not.
func reportAddresses(r config.Reports) enforce.ReportAddresses {
	out := enforce.ReportAddresses{Mailboxes: r.Addresses, BounceDomain: r.BounceDomain}
	if r.Email != "" {
		out.Mailboxes = append([]string{r.Email}, r.Addresses...)
	}
	return out
}
