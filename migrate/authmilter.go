package migrate

import (
	"net/netip"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// authMilter is authentication_milter.json on its way.
type authMilter struct{ *draft }

// AuthenticationMilter reads authentication_milter.json, JSON with comments.
func AuthenticationMilter(in Input) Result {
	a := authMilter{newDraft(in)}
	root, err := parseTree(string(in.Text))
	if err != nil {
		a.warn(a.key("file"), "read up to here: %v", err)
	}
	for _, k := range root.items {
		take, note := a.takes()[k.key], authMilterNotes[k.key]
		switch {
		case take != nil:
			take(k)
		case note != "":
			a.note(a.at(k), "%s", note)
		case strings.HasPrefix(k.key, "tempfail_on_error"):
			a.warn(a.at(k), "otherwise here: [temperror] says what becomes of mail whose check failed, by cause")
		default:
			a.warn(a.at(k), "unknown to this import and left out")
		}
	}
	if !a.has("listener", "profile") {
		a.note(a.key("hard_reject"), `not set: authentication_milter refuses nothing, and neither does profile = "monitor"`)
	}
	return a.finish()
}

const (
	amProcess = "not needed: dmarcgate is one process, which systemd starts and restarts"
	amLog     = "not needed: the log goes to the journal or to syslog (docs/logs.md)"
	amTimes   = "not needed: [limits] and [dns] have the times of the daemon, main.cf those of Postfix"
)

// authMilterNotes are the keys that are not needed.
var authMilterNotes = map[string]string{
	"debug": amLog, "logtoerr": amLog, "error_log": amLog, "extended_log": amLog, "log_dispatchers": amLog,
	"umask": `not needed: socket_mode is "0660"`, "runas": amProcess, "rungroup": amProcess, "chroot": amProcess, "listen_backlog": amProcess,
	"min_children": amProcess, "max_children": amProcess, "min_spare_children": amProcess, "max_spare_children": amProcess, "max_requests_per_child": amProcess,
	"connect_timeout": amTimes, "command_timeout": amTimes, "content_timeout": amTimes, "dns_timeout": amTimes, "dns_retry": amTimes,
	"metric_connection": "not needed: [admin] listen has metrics", "metric_port": "not needed: [admin] listen has metrics", "metric_umask": "not needed: [admin] listen has metrics",
	"smtp": "not needed: dmarcgate is a milter",
}

// takes are the keys that become something.
func (a authMilter) takes() map[string]func(node) {
	return map[string]func(node){
		"connection": a.connection, "connections": a.connections, "handlers": a.handlers, "ip_map": a.relays, "dns_resolvers": a.resolvers,
		"protocol": func(k node) {
			if k.text == "smtp" {
				a.warn(a.at(k), "no equivalent: dmarcgate is a milter, and no SMTP filter behind the queue")
			}
		},
		"dryrun": func(k node) {
			if isTrue(k.text) {
				a.set(a.at(k), "listener", "profile", `"monitor"`)
			}
		},
	}
}

func (a authMilter) at(n node) place { return place{a.in.Name, n.line, n.key} }

func (a authMilter) connection(k node) {
	kind, rest, _ := strings.Cut(k.text, ":")
	switch kind {
	case "unix":
		a.warn(a.at(k), "the socket moves: write unix:/run/dmarcgate/milter.sock for %s in the MTA's list of milters", printable(k.text))
	case "inet", "inet6":
		a.set(a.at(k), "listener", "address", quote(kind+":"+rest))
		a.warn(a.at(k), "the port stays, so authentication_milter must be stopped before dmarcgate starts")
	default:
		a.warn(a.at(k), "left out: %s is no socket", printable(k.text))
	}
}

func (a authMilter) connections(k node) {
	a.warn(a.at(k), "further sockets are left out, %d: add a [[listener]] for each", len(k.items))
}

func (a authMilter) relays(k node) {
	a.warn(a.at(k), "no setting is written: a client behind a host of yours is read from the Received field of that host; write a [[trusted_relay]] with its networks and names")
}

func (a authMilter) resolvers(k node) {
	var servers []string
	for _, it := range k.texts() {
		servers = append(servers, quote(it.text))
	}
	if len(servers) > 0 && len(servers) <= maxTold {
		a.set(a.at(k), "dns", "servers", "["+strings.Join(servers, ", ")+"]")
	}
}

func (a authMilter) handlers(k node) {
	for _, h := range k.items {
		switch {
		case strings.HasPrefix(h.key, "!"):
			a.note(a.at(h), "not needed: the handler is off")
		case h.key == "DMARC":
			a.dmarc(h)
		case h.key == "ARC":
			a.arc(h)
		case h.key == "TrustedIP":
			if list, there := h.find("trusted_ip_list"); there {
				nets, _ := a.sorted(a.at(list), list.texts())
				a.trust(a.at(list), nets)
			}
		case h.key == "Sanitize":
			a.sanitize(h)
		case h.key == "SPF" || h.key == "DKIM" || h.key == "Auth" || h.key == "LocalIP" || h.key == "TLS":
			a.note(a.at(h), "the same here: dmarcgate does this itself, for every message")
		default:
			a.warn(a.at(h), "no equivalent: dmarcgate has SPF, DKIM, ARC and DMARC; run a filter for the rest behind it")
		}
	}
}

// sanitize takes the names under which nobody outside may write results.
func (a authMilter) sanitize(h node) {
	list, there := h.find("hosts_to_remove")
	var ids []string
	if there {
		for _, it := range list.texts()[:min(len(list.texts()), maxItems)] {
			ids = append(ids, quote(it.text))
		}
	}
	if len(ids) > 0 {
		a.set(a.at(list), "", "authserv_ids_also", "["+strings.Join(ids, ", ")+"]")
	}
	a.note(a.at(h), "fields under the own name and under authserv_ids_also are removed")
}

// dmarc takes the handler DMARC.
func (a authMilter) dmarc(h node) {
	for _, k := range h.items {
		switch k.key {
		case "hard_reject":
			if isTrue(k.text) && !a.has("listener", "profile") { // dryrun has set one
				a.set(a.at(k), "listener", "profile", `"strict"`)
				a.warn(a.at(k), `becomes profile = "strict"; "conformant" refuses only mail that is known to be forged. Set profile = "monitor" for the first days`)
			}
		case "no_list_reject", "detect_list_id", "arc_before_list", "no_list_reject_disposition":
			if k.key == "no_list_reject" && isTrue(k.text) {
				a.warn(a.at(k), `no equivalent: anybody can write the header fields of a list. "conformant" quarantines mail whose body a list changed, and a rule with dkim_pass names a list that signs`)
			} else {
				a.note(a.at(k), "not needed: header fields of lists decide nothing here")
			}
		case "whitelisted":
			a.whitelisted(k)
		case "reject_on_multifrom", "quarantine_on_multifrom", "strict_multifrom":
			a.warn(a.at(k), "otherwise here: each of up to five author domains is evaluated, and [from] too_many_domains says what becomes of more")
		case "use_arc":
			if !isTrue(k.text) {
				a.note(a.at(k), "the same here without trusted sealers: ARC decides nothing")
			}
		case "policy_rbl_lookup":
			a.warn(a.at(k), "no equivalent: dmarcgate asks no list in the DNS about policies; override rules name domains")
		case "report_skip_to", "no_report", "report_suppression_list", "report_suppression_email_list", "hide_report_to":
			a.warn(a.at(k), noReports)
		case "no_reject_disposition", "quarantine_reject", "config_file", "hide_none":
			a.warn(a.at(k), "no equivalent: what was done is in the row and in the log; quarantine of the listener says what quarantine means")
		default:
			a.warn(a.at(k), "unknown to this import and left out")
		}
	}
}

// whitelisted takes clients and domains whose mail is delivered: "192.0.2.0/24",
// "dkim:DOMAIN", "spf:DOMAIN", "dnswl:ZONE".
func (a authMilter) whitelisted(k node) {
	p := a.at(k)
	var clients []pattern.Network
	var spf, dkim []pattern.Domain
	var wrong []item
	list := k.texts()
	if len(list) > mostTried {
		a.warn(p, "%d items are left out: an import tries %d clients and domains", len(list)-mostTried, mostTried)
		list = list[:mostTried]
	}
	for _, it := range list {
		kind, name, hasKind := strings.Cut(it.text, ":")
		domain, err := pattern.ParseDomain(strings.ToLower(name))
		n, isNetwork := network(it.text)
		switch {
		case isNetwork:
			clients = append(clients, a.client(p, n)...)
		case hasKind && err == nil && domain.Kind() == pattern.Exact && kind == "spf":
			spf = append(spf, domain)
		case hasKind && err == nil && domain.Kind() == pattern.Exact && kind == "dkim":
			dkim = append(dkim, domain)
		default:
			wrong = append(wrong, it)
		}
	}
	a.wrong(p, wrong, "neither address nor dkim: nor spf: with a domain (lists in the DNS are not asked)")
	if len(clients) > 0 {
		a.rule(p, policy.Rule{ID: "whitelisted-clients", Action: policy.RuleAccept, Reason: policy.TrustedForwarder, Match: policy.Match{Client: clients}})
	}
	a.anchored(p, "whitelisted-spf", policy.TrustedForwarder, spf, func(items []pattern.Domain) policy.Match { return policy.Match{SPFPass: items} })
	a.anchored(p, "whitelisted-dkim", policy.TrustedForwarder, dkim, func(items []pattern.Domain) policy.Match { return policy.Match{DKIMPass: items} })
}

// client is a network of a rule, unless rules lint refuses a rule with it.
func (a authMilter) client(p place, n netip.Prefix) []pattern.Network {
	var item pattern.Network
	if err := item.UnmarshalText([]byte(n.String())); err != nil {
		a.warn(p, "%v is left out: %v", n, err)
		return nil
	}
	r := a.dated(p, policy.Rule{ID: "x", Action: policy.RuleAccept, Reason: policy.TrustedForwarder, Match: policy.Match{Client: []pattern.Network{item}}})
	if f, refused := a.refused(r); refused {
		a.warn(p, "%v is left out, because rules lint refuses it: %s", n, f.Text)
		return nil
	}
	return []pattern.Network{item}
}

// arc takes the list of trusted sealers.
func (a authMilter) arc(h node) {
	for _, k := range h.items {
		switch k.key {
		case "trusted_domains":
			_, names := a.sorted(a.at(k), k.texts())
			a.sealers(a.at(k), names)
			a.warn(a.at(k), "in part: every sealer of a chain must be listed, and one must have recorded a pass for the author domain")
		case "rbl_whitelist":
			a.warn(a.at(k), "no equivalent: dmarcgate asks no list in the DNS about sealers")
		default:
			a.note(a.at(k), "not needed: dmarcgate validates chains of mail that fails, and seals nothing")
		}
	}
}
