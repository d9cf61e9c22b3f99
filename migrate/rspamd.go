package migrate

import (
	"strings"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// rspamd is a configuration of rspamd on its way.
type rspamd struct {
	*draft
}

// Rspamd reads local.d/dmarc.conf of rspamd, or a file with the sections dmarc, arc,
// whitelist, multimap and options, as "rspamadm configdump" prints them.
func Rspamd(in Input) Result {
	r := &rspamd{draft: newDraft(in)}
	root, err := parseTree(string(in.Text))
	if err != nil {
		r.warn(r.key("file"), "read up to here: %v", err)
	}
	sections := 0
	for _, n := range root.items {
		if take := rspamdSections[n.key]; take != nil && n.table {
			sections++
			take(r, n)
		}
	}
	switch {
	case sections == 0: // a file of local.d has the keys of its section alone
		r.dmarc(root)
	default:
		for _, n := range root.items {
			if rspamdSections[n.key] == nil {
				r.note(r.at(n), "not read: of rspamd, dmarc, arc, whitelist, multimap and options concern dmarcgate")
			}
		}
	}
	r.note(r.key("rspamd"), "rspamd goes on to filter behind dmarcgate; its symbols DMARC_* and its own results stay with it. Give its module dmarc no actions, so that one program decides")
	return r.finish()
}

var rspamdSections = map[string]func(*rspamd, node){
	"dmarc": (*rspamd).dmarc, "arc": (*rspamd).arc, "whitelist": (*rspamd).whitelist, "multimap": (*rspamd).multimap, "options": (*rspamd).options,
}

func (r *rspamd) at(n node) place { return place{r.in.Name, n.line, n.key} }

// dmarc takes the keys of the module.
func (r *rspamd) dmarc(n node) {
	for _, k := range n.items {
		switch strings.ToLower(k.key) {
		case "actions":
			r.actions(k)
		case "no_sampling_domains":
			r.warn(r.at(k), "no equivalent: rspamd applies the policy to all mail of these domains, whatever pct says; [discovery] pct = \"ignore\" does so for all domains")
		case "reporting", "report_settings", "send_reports", "no_reporting_domains", "servers", "key_prefix", "reports_only_domains":
			r.warn(r.at(k), "%s; keep rspamd's reports, or a program of its own", noReports)
		case "whitelisted_signers_map":
			r.signers(k)
		case "symbols", "strict_policy", "enabled", "check_local", "check_authed":
			r.note(r.at(k), "not needed: dmarcgate has no symbols, and never evaluates mail of this host and of clients that have authenticated")
		default:
			if r.directive(k) {
				continue
			}
			r.warn(r.at(k), "unknown to this import and left out")
		}
	}
}

// directive tells of .include and its like, which nobody follows.
func (r *rspamd) directive(k node) bool {
	if !strings.HasPrefix(k.key, ".") {
		return false
	}
	r.warn(r.at(k), "not followed: give the file that %s names to a run of its own, or the output of \"rspamadm configdump\"", printable(k.text))
	return true
}

// actions sets the profile by what rspamd does for each policy.
func (r *rspamd) actions(n node) {
	does := map[string]string{}
	for _, k := range n.items {
		does[strings.ToLower(k.key)] = strings.ToLower(strings.ReplaceAll(k.text, "_", " "))
	}
	profile, quarantine := "monitor", "tag"
	switch does["reject"] {
	case "reject":
		profile = "strict"
		r.warn(r.at(n), `reject = "reject" becomes profile = "strict"; "conformant" refuses only mail that is known to be forged. Set profile = "monitor" for the first days`)
	case "":
	default:
		r.warn(r.at(n), `reject = %s has no equal: profile = "monitor" enforces nothing, "conformant" quarantines mail under p=reject that is not known to be forged`, printable(does["reject"]))
	}
	switch does["quarantine"] {
	case "reject":
		quarantine = "reject"
	case "quarantine":
		quarantine = "hold"
	case "", "add header", "no action":
	default:
		r.warn(r.at(n), `quarantine = %s becomes quarantine = "tag"`, printable(does["quarantine"]))
	}
	if a := does["softfail"]; a != "" && a != "no action" {
		r.warn(r.at(n), "softfail = %s is left out: mail under p=none is delivered without a mark; a rule with requested = [\"none\"] can do more", printable(a))
	}
	r.set(r.at(n), "listener", "profile", quote(profile))
	r.set(r.at(n), "listener", "quarantine", quote(quarantine))
}

// arc takes the list of trusted sealers.
func (r *rspamd) arc(n node) {
	for _, k := range n.items {
		switch {
		case strings.EqualFold(k.key, "whitelisted_signers_map"):
			r.signers(k)
		case r.directive(k):
		default:
			r.note(r.at(k), "not needed: dmarcgate validates chains of mail that fails, and seals nothing; rspamd can go on sealing")
		}
	}
}

func (r *rspamd) signers(k node) {
	_, names := r.sorted(r.at(k), r.items(k))
	r.sealers(r.at(k), names)
	r.warn(r.at(k), "in part: every sealer of a chain must be listed, and one must have recorded a pass for the author domain")
}

// items are the items of a map of rspamd: a list in the file, or files.
func (r *rspamd) items(k node) []item {
	var out []item
	for _, it := range k.texts() {
		switch file, isFile := strings.CutPrefix(it.text, "file://"); {
		case isFile || strings.HasPrefix(it.text, "/"):
			out = append(out, r.file(r.at(k), file)...)
		case strings.Contains(it.text, "://") || strings.Contains(it.text, "$"):
			r.warn(r.at(k), "the map %s is not read: maps from the Web or with variables in their names are not followed", printable(it.text))
		default:
			out = append(out, it)
		}
	}
	return out
}

// whitelist tells what becomes of the module whitelist.
func (r *rspamd) whitelist(n node) {
	rules, there := n.find("rules")
	if !there {
		rules = n
	}
	for _, k := range rules.items {
		if r.directive(k) {
			continue
		}
		_, dmarc := k.find("valid_dmarc")
		_, domains := k.find("domains")
		switch {
		case dmarc:
			r.warn(r.at(k), "no rule is written: the list raises mail that passes DMARC, which dmarcgate delivers anyway, and with \"blacklist\" lowers mail that fails, which the published policy does here")
		case domains:
			r.warn(r.at(k), "no rule is written: a score for domains with a pass of SPF or DKIM says nothing of DMARC. For a domain that vouches for mail of others, write a rule with spf_pass or dkim_pass (docs/rules.md)")
		default:
			r.note(r.at(k), "not needed: a score is of rspamd")
		}
	}
}

// multimap takes lists of addresses whose mail is accepted before all checks.
func (r *rspamd) multimap(n node) {
	var at place
	var names []pattern.Domain
	for _, k := range n.items {
		if r.directive(k) {
			continue
		}
		kind, _ := k.find("type")
		action, _ := k.find("action")
		list, there := k.find("map")
		switch {
		case !there || action.text != "accept" && action.text != "no action":
			r.note(r.at(k), "not needed: the map accepts nothing")
		case kind.text == "ip":
			nets, _ := r.sorted(r.at(k), r.items(list))
			r.trust(r.at(k), nets)
			r.warn(r.at(k), "becomes trusted_networks: mail from there is not evaluated, and rspamd may still reject it")
		case kind.text == "hostname" || kind.text == "rdns":
			_, list := r.sorted(r.at(k), r.items(list))
			names, at = append(names, list...), r.at(k)
		default:
			r.warn(r.at(k), "no rule is written: anybody can write what a map of type %s matches, and rules lint refuses such a rule", printable(kind.text))
		}
	}
	r.anchored(at, "accepted-hosts", policy.LocalPolicy, names, func(items []pattern.Domain) policy.Match { return policy.Match{IPRev: items} })
}

// options takes the networks of the site, and the name servers.
func (r *rspamd) options(n node) {
	for _, k := range n.items {
		switch {
		case strings.EqualFold(k.key, "local_addrs"), strings.EqualFold(k.key, "local_networks"):
			nets, _ := r.sorted(r.at(k), r.items(k))
			r.trust(r.at(k), nets)
		case r.directive(k):
		default:
			r.note(r.at(k), "not read: of the options, local_addrs concerns dmarcgate")
		}
	}
}
