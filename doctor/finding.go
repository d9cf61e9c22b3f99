package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dmarcgate/site"
	"dmarcgate/term"
)

// maxShown is how many items of a list a sentence names: our limit, one line.
const maxShown = 5

// Finding is one thing that is wrong.
type Finding struct {
	ID    string `json:"id"`    // of docs/doctor.md, or the code of a warning of check-config
	Level string `json:"level"` // site.LevelError: mail is lost, unchecked or forged; site.LevelWarning: it may come to that; site.LevelRemark: worth knowing, and no fault
	Text  string `json:"text"`
	Fixes []Fix  `json:"fix"` // what to put in, in this order; one of several where Text says so
}

// Fix is a line to put in.
type Fix struct {
	Place string `json:"place"` // a file, with a service of master.cf where it is one; "" is a command to run as root
	Line  string `json:"line"`
}

// levels are the ids with their levels. docs/doctor.md has them all, and a test
// plants the fault of each.
var levels = map[string]string{
	// the daemon
	"daemon_down":     site.LevelError,
	"daemon_old":      site.LevelWarning,
	"config":          site.LevelError,
	"config_warning":  site.LevelWarning,
	"config_not_read": site.LevelWarning,
	"reload_failed":   site.LevelError,
	"restart_needed":  site.LevelWarning,
	"suspended":       site.LevelWarning,
	"no_header":       site.LevelError,
	"not_evaluated":   site.LevelError,
	"control_open":    site.LevelWarning,
	"connections":     site.LevelError,

	// Postfix
	"not_attached":          site.LevelError,
	"instance_not_attached": site.LevelWarning,
	"asked_twice":           site.LevelWarning,
	"socket_chroot":         site.LevelError,
	"socket_other":          site.LevelError,
	"socket_missing":        site.LevelError,
	"socket_closed":         site.LevelError,
	"milter_list":           site.LevelError,
	"authserv_id":           site.LevelWarning,
	"default_action":        site.LevelWarning,
	"timeout":               site.LevelWarning,
	"idle_timeout":          site.LevelWarning,
	"milter_protocol":       site.LevelWarning,
	"pickup_reinjects":      site.LevelError,
	"non_smtpd_milters":     site.LevelWarning,
	"own_mail_evaluated":    site.LevelWarning,
	"submission_open":       site.LevelWarning,
	"reinjected":            site.LevelError,
	"behind_filter":         site.LevelError,
	"proxy_filter":          site.LevelError,
	"soft_bounce":           site.LevelWarning,

	// Postfix by version
	"shutdown_unknown":  site.LevelError,
	"tempfail_session":  site.LevelRemark,
	"header_end":        site.LevelRemark,
	"tls_macros":        site.LevelRemark,
	"end_of_data_state": site.LevelWarning,
	"proxy_smuggling":   site.LevelWarning,

	// other milters
	"opendkim_after": site.LevelError,
	"filter_same_id": site.LevelWarning,
	"filter_removed": site.LevelRemark,

	// mail
	"behind_relay": site.LevelWarning,

	// DNS
	"dns_down":           site.LevelError,
	"dns_refuses":        site.LevelError,
	"dns_failing":        site.LevelError,
	"no_local_resolver":  site.LevelWarning,
	"no_dnssec":          site.LevelRemark,
	"dnssec_not_trusted": site.LevelRemark,

	// aggregate reports
	"report_identity": site.LevelWarning,
	"report_advice":   site.LevelRemark,

	// clock, lists, store
	"clock":                site.LevelError,
	"suffix_list_old":      site.LevelWarning,
	"store_failed":         site.LevelError,
	"store_closed":         site.LevelError,
	"store_space":          site.LevelError,
	"store_damaged":        site.LevelWarning,
	"store_shared":         site.LevelError,
	"store_lost":           site.LevelWarning,
	"postgres_down":        site.LevelError,
	"postgres_connections": site.LevelError,
	"postgres_refused":     site.LevelError,
}

// report collects findings.
type report struct{ list []Finding }

// add adds a finding, the same one once.
func (r *report) add(id string, fixes []Fix, format string, args ...any) {
	level, known := levels[id]
	if !known {
		panic("doctor: the finding " + id + " has no level")
	}
	f := Finding{ID: id, Level: level, Text: fmt.Sprintf(format, args...), Fixes: fixes}
	if !slices.ContainsFunc(r.list, func(g Finding) bool { return g.ID == f.ID && g.Text == f.Text }) {
		r.list = append(r.list, f)
	}
}

// once is add of a finding about one service, unless the same lines fix another
// service, too.
func (r *report) once(id string, fixes []Fix, format string, args ...any) {
	if !slices.ContainsFunc(r.list, func(g Finding) bool { return g.ID == id && slices.Equal(g.Fixes, fixes) }) {
		r.add(id, fixes, format, args...)
	}
}

// run is a command to run as root.
func run(format string, args ...any) []Fix { return []Fix{{Line: fmt.Sprintf(format, args...)}} }

// put is a line of a file.
func put(place, format string, args ...any) []Fix {
	return []Fix{{Place: place, Line: strings.TrimSpace(fmt.Sprintf(format, args...))}}
}

// byHand is what no single line does.
func byHand(text string) []Fix { return put("by hand", "%s", text) }

// Examine finds what is wrong with a host, errors first.
func Examine(h *Host) []Finding {
	r := &report{}
	h.configuration(r)
	h.daemon(r)
	h.postfix(r)
	h.mail(r)
	h.dns(r)
	h.clock(r)
	h.store(r)
	h.reports(r)
	slices.SortStableFunc(r.list, func(a, b Finding) int { return cmp.Compare(rank(a.Level), rank(b.Level)) })
	return r.list
}

func rank(level string) int {
	return slices.Index([]string{site.LevelError, site.LevelWarning, site.LevelRemark}, level)
}

// some names the first items of a list.
func some(list []string) string {
	shown := make([]string, 0, maxShown)
	for _, s := range list[:min(len(list), maxShown)] {
		shown = append(shown, term.Printable(s))
	}
	text := strings.Join(shown, ", ")
	if more := len(list) - maxShown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
