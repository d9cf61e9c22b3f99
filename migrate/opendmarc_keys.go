package migrate

import (
	"fmt"
	"path"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// opendmarcKey is a key of opendmarc.conf, and what becomes of it: one of take, note
// and lost.
type opendmarcKey struct {
	name   string
	take   func(*opendmarc, entry)
	note   string // nothing is lost
	lost   string // what is lost, or otherwise here
	flag   bool   // lost is said only where the value is true
	absent string // what is otherwise where the key is not written
}

const (
	unit      = "not needed: systemd starts dmarcgate, watches it and restarts it (deploy/systemd)"
	noReports = "no equivalent: dmarcgate sends no reports"
	ownChecks = "no equivalent: dmarcgate checks SPF and DKIM itself, and believes no result of another filter"
)

// opendmarcKeys are all keys, in the order in which they are worked on: directories
// before the files in them.
var opendmarcKeys = []opendmarcKey{
	{name: "ChangeRootDirectory", take: func(o *opendmarc, e entry) {
		o.root = path.Clean(e.value)
		o.note(e.place, "not needed: files are read below this directory; the unit confines dmarcgate")
	}},
	{name: "BaseDirectory", take: func(o *opendmarc, e entry) {
		o.root = path.Join(o.root, e.value)
		o.note(e.place, "files with relative paths are read below this directory")
	}},
	{name: "AuthservID", take: authservID},
	{name: "AuthservIDWithJobID", flag: true, lost: "no equivalent: the authserv-id stands alone; the log has the queue id"},
	{name: "TrustedAuthservIDs", take: trustedIDs},
	{name: "SPFIgnoreResults", note: "the same here: " + ownChecks[len("no equivalent: "):]},
	{name: "SPFSelfValidate", note: "the same here: SPF is always checked", absent: "OpenDMARC takes SPF from another filter; dmarcgate checks SPF itself, so the policy service for SPF is no longer needed"},
	{name: "RejectFailures", take: func(*opendmarc, entry) {}},          // see actions
	{name: "HoldQuarantinedMessages", take: func(*opendmarc, entry) {}}, // see actions
	{name: "RejectString", take: rejectString},
	{name: "RejectMultiValueFrom", take: severalDomains, absent: "OpenDMARC lets mail with several author domains in unchecked; dmarcgate evaluates each domain, and the strictest policy counts"},
	{name: "RequiredHeaders", take: func(o *opendmarc, e entry) {
		if isTrue(e.value) {
			o.from(e, "missing", "several_fields", "unparsable", "empty_group")
			o.warn(e.place, "in part: [from] refuses what concerns the From field; the counts of other fields (RFC 5322, Section 3.6) are not checked")
		}
	}},
	{name: "RequiredFrom", take: func(o *opendmarc, e entry) {
		if isTrue(e.value) {
			o.from(e, "missing", "unparsable", "empty_group")
		}
	}},
	{name: "IgnoreHosts", take: ignoreHosts},
	{name: "IgnoreAuthenticatedClients", take: func(o *opendmarc, e entry) {
		if !isTrue(e.value) {
			o.warn(e.place, "otherwise here: mail of clients that have authenticated is never evaluated")
		}
	}, absent: "OpenDMARC evaluates mail of clients that have authenticated; dmarcgate never does"},
	{name: "IgnoreMailFrom", lost: "no rule is written: anybody can put these domains into a From field, and rules lint refuses such a rule. " +
		`Find what the mail has that cannot be forged with "dmarcgate rules add --qid", once a message failed`},
	{name: "IgnoreMailTo", lost: "no equivalent: mail to these addresses is recorded as other mail is; dmarcgate sends no reports, so there is no loop"},
	{name: "NoReportsList", lost: noReports + "; keep the list for the program that does"},
	{name: "DomainWhitelist", take: func(o *opendmarc, e entry) { o.whitelist(e, values(e.value)) }},
	{name: "DomainWhitelistFile", take: func(o *opendmarc, e entry) { o.whitelist(e, o.file(e.place, o.path(e.value))) }},
	{name: "DomainWhitelistSize", note: "not needed: lists have any size"},
	{name: "PublicSuffixList", take: func(*opendmarc, entry) {}}, // see suffixes
	{name: "DMARCbisWalkMode", take: walkMode},
	{name: "DMARCbisWalkModeFallback", lost: "no equivalent: one method finds the record; [discovery] compare = true tells where the other method differs"},
	{name: "DMARCbisIgnorePct", take: func(o *opendmarc, e entry) {
		if isTrue(e.value) {
			o.set(e.place, "discovery", "pct", `"ignore"`)
		}
	}},
	{name: "DNSTimeout", take: dnsTimeout},
	{name: "TestDNSData", lost: "no equivalent in the daemon: case files have a zone of their own (docs/testing.md)"},
	{name: "Socket", take: socket},
	{name: "UMask", take: func(o *opendmarc, e entry) {
		o.note(e.place, `not needed: socket_mode is "0660" and socket_owner gives the socket to the MTA`)
	}},
	{name: "UserID", note: "not needed: the unit runs dmarcgate as the user dmarcgate"},
	{name: "HistoryFile", take: func(o *opendmarc, e entry) {
		o.warn(e.place, "take the history over with %q before the first days are compared; dmarcgate keeps a store of its own", "dmarcgate import opendmarc "+shellPath(o.path(e.value)))
	}},
	{name: "RecordAllMessages", note: "the same here: every message is recorded", absent: "OpenDMARC records only mail of domains with a record; dmarcgate records every message, for [store] retention"},
	{name: "FailureReports", flag: true, lost: noReports},
	{name: "ForensicReports", flag: true, lost: noReports},
	{name: "FailureReportsOnNone", flag: true, lost: noReports},
	{name: "ForensicReportsOnNone", flag: true, lost: noReports},
	{name: "FailureReportsBcc", lost: noReports},
	{name: "ForensicReportsBcc", lost: noReports},
	{name: "ForensicReportsSentBy", lost: noReports},
	{name: "FailureReportsSentBy", lost: noReports},
	{name: "ReportCommand", lost: noReports},
	{name: "CopyFailuresTo", lost: "no equivalent: dmarcgate adds no recipient; quarantine or the log show failing mail"},
	{name: "ReadCanonicalizedData", flag: true, lost: noReports},
	{name: "LogSPFDNS", flag: true, lost: `no equivalent in the log: "dmarcgate explain" shows every query of SPF`},
	{name: "SoftwareHeader", flag: true, lost: "no equivalent: dmarcgate adds no field with its name and version"},
	{name: "Syslog", take: func(o *opendmarc, e entry) {
		o.note(e.place, `under systemd the log goes to the journal; without systemd set [log] to = "syslog" (docs/logs.md)`)
	}},
	{name: "SyslogFacility", take: func(o *opendmarc, e entry) {
		if f := strings.ToLower(e.value); f != "mail" {
			o.set(e.place, "log", "syslog_facility", quote(f))
			o.warn(e.place, "counts with [log] to = \"syslog\"; in the journal the unit says the facility (SyslogFacility=)")
		}
	}},
	{name: "MilterDebug", note: `not needed: [log] level = "debug"`},
	{name: "PidFile", note: unit},
	{name: "Background", note: unit},
	{name: "AutoRestart", note: unit},
	{name: "AutoRestartCount", note: unit},
	{name: "AutoRestartRate", note: unit},
	{name: "EnableCoredumps", note: unit},
	{name: "TemporaryDirectory", note: "not needed: dmarcgate writes no temporary files"},
}

func authservID(o *opendmarc, e entry) {
	id := e.value
	if id == "HOSTNAME" {
		id = o.in.Host
	}
	o.set(e.place, "", "authserv_id", quote(id))
}

// trustedIDs are the names of filters of the site, which nobody outside may use.
func trustedIDs(o *opendmarc, e entry) {
	var ids []string
	own := o.keys["authservid"].value
	for _, it := range values(e.value) {
		if it.text != "HOSTNAME" && !strings.EqualFold(it.text, own) {
			ids = append(ids, quote(it.text))
		}
	}
	if len(ids) > 0 {
		o.set(e.place, "", "authserv_ids_also", "["+strings.Join(ids, ", ")+"]")
	}
	o.warn(e.place, "otherwise here: dmarcgate believes no result of another filter, and removes fields under these names from outside. A filter that writes such a field must run after dmarcgate")
}

func rejectString(o *opendmarc, e entry) {
	text := strings.ReplaceAll(strings.Trim(e.value, `"`), "%s", "{domain}")
	if !strings.Contains(text, "DMARC") {
		text += " (DMARC)"
	}
	o.set(e.place, "reply", "reject", quote(text))
}

func severalDomains(o *opendmarc, e entry) {
	if !isTrue(e.value) {
		o.warn(e.place, "otherwise here: mail with several author domains is evaluated, and the strictest policy counts")
		return
	}
	o.rule(e.place, policy.Rule{
		ID: "several-author-domains", Action: policy.RuleReject,
		Match: policy.Match{FromField: []policy.From{policy.FromSeveralDomains}, Result: []string{"none", "fail", "permerror"}},
	})
	o.warn(e.place, "in part: mail with several author domains is refused unless DMARC passes for all of them; several addresses of one domain are no reason to refuse")
}

// from sets keys of [from].
func (o *opendmarc) from(e entry, keys ...string) {
	for _, k := range keys {
		o.set(e.place, "from", k, `"reject"`)
	}
}

func ignoreHosts(o *opendmarc, e entry) {
	nets, names := o.sorted(e.place, o.file(e.place, o.path(e.value)))
	o.trust(e.place, nets)
	if o.anchored(e.place, "ignored-hosts", policy.LocalPolicy, names, func(items []pattern.Domain) policy.Match { return policy.Match{IPRev: items} }) {
		o.warn(e.place, "host names become a rule, for clients whose name the MTA has confirmed: their mail is evaluated, and delivered where DMARC fails. Networks in trusted_networks are not evaluated at all")
	}
}

// whitelist takes domains of ARC sealers, of DomainWhitelist and of its file.
func (o *opendmarc) whitelist(e entry, list []item) {
	nets, names := o.sorted(e.place, list)
	if len(nets) > 0 {
		o.warn(e.place, "addresses are left out, %d: a sealer is a domain", len(nets))
	}
	o.trusted, o.trustedAt = append(o.trusted, names...), e.place
	o.note(e.place, "all sealers of a chain must be listed, as in OpenDMARC; dmarcgate validates the chain itself, so OpenARC is no longer needed")
}

func dnsTimeout(o *opendmarc, e entry) {
	n, ok := o.number(e)
	switch {
	case !ok:
	case n == 0:
		o.warn(e.place, "left out: OpenDMARC waits for ever; dmarcgate has [dns] timeout, 5s by default")
	case n > 15:
		o.warn(e.place, "left out: a lookup of %d s does not fit into [limits] message_budget, 20s by default", n)
	default:
		o.set(e.place, "dns", "timeout", quote(fmt.Sprintf("%ds", n)))
		if n < 2 {
			o.set(e.place, "dns", "query_timeout", quote(fmt.Sprintf("%ds", n)))
			o.set(e.place, "dns", "stale_after", `"500ms"`)
		}
	}
}
