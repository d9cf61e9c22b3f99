package rulefile

import (
	"strings"

	"dmarcgate/config/tomlfile"
)

// onlyFacts is why keys that other filters have are none here.
const onlyFacts = "rules match facts and nothing else"

// tried are keys that people try in [rule.match], and what to write instead.
// Rules must come out the same for the stored facts of a message, and nothing
// in there can be of its text.
var tried = map[string]tomlfile.Fault{
	"rcpt":          {Text: "addresses of recipients are not kept: " + onlyFacts, Fix: "write rcpt_domain, with their domains"},
	"sender":        {Text: "addresses of senders are not kept: " + onlyFacts, Fix: "write author or mail_from, with their domains"},
	"subject":       {Text: "the subject is not kept: " + onlyFacts, Fix: "leave it to a filter of content"},
	"body":          {Text: "the body is not kept: " + onlyFacts, Fix: "leave it to a filter of content, or write body_changed"},
	"message_id":    {Text: "the Message-ID is not kept: " + onlyFacts, Fix: "name the sender by client, spf_pass, dkim_pass or author"},
	"header":        {Text: "header fields can be written by anybody and are not kept: " + onlyFacts, Fix: "write list_headers, list_id or auto_submitted"},
	"envelope_from": {Text: "of the envelope sender only the domain is kept", Fix: "write mail_from, or spf_pass for one that is proved"},
	"from":          {Text: "the From field has a domain and a form", Fix: "write author for the domain, or from_field for the form"},
	"ip":            {Text: "the address is that of the SMTP client", Fix: "write client"},
	"spf_fail":      {Text: "a rule names the result of SPF, or the domain for which SPF passes", Fix: `write spf = ["fail"], spf_pass or not_spf_pass`},
	"dkim":          {Text: "a rule names the domain whose signature passes", Fix: "write dkim_pass, not_dkim_pass or body_changed"},
	"arc":           {Text: "a rule names the sealers of a chain that passes", Fix: "write arc_pass"},
	"ptr":           {Text: "a name counts only when the MTA has confirmed it", Fix: "write iprev"},
	"policy":        {Text: "a record has a place and a policy", Fix: "write requested for the policy, or policy_domain for the place"},
	"country":       {Text: "the country of an address is not known: " + onlyFacts, Fix: `write client, with networks or "map:FILE"`},
}

// otherwise are further names of the same.
var otherwise = map[string]string{
	"rcpt_to": "rcpt", "recipient": "rcpt", "recipients": "rcpt", "to": "rcpt", "rcpt_user": "rcpt", "user": "rcpt",
	"return_path": "envelope_from", "header_from": "from", "client_ip": "ip", "client_address": "ip", "mail_from_domain": "envelope_from", "mail_from_user": "sender", "from_address": "sender", "reply_to": "header",
	"headers": "header", "header_regex": "header", "text": "body", "content": "body", "attachment": "body", "msgid": "message_id",
	"spf_result": "spf_fail", "dkim_fail": "dkim", "dkim_selector": "dkim", "selector": "dkim", "arc_sealer": "arc", "sealer": "arc",
	"client_name": "ptr", "rdns": "ptr", "hostname": "ptr", "asn": "country", "geoip": "country", "p": "policy",
}

// explainMatch says of a key of [rule.match] that is none why there is no such
// key.
func explainMatch(table, name string) (tomlfile.Fault, bool) {
	if table != "rule.match" {
		return tomlfile.Fault{}, false
	}
	key := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	if isMatchKey(key) {
		return tomlfile.Fault{}, false // only the spelling is wrong
	}
	key, no := strings.CutPrefix(key, "not_")
	if no && isMatchKey(key) {
		return tomlfile.Fault{Text: "this key cannot be denied", Fix: "list what is meant with " + key}, true
	}
	if strings.HasPrefix(key, "header.") {
		key = "header"
	}
	if other, ok := otherwise[key]; ok {
		key = other
	}
	f, ok := tried[key]
	return f, ok
}

func isMatchKey(name string) bool {
	for _, f := range newRuleText("rule", nil).match() {
		if f.Key == "rule.match."+name {
			return true
		}
	}
	return false
}
