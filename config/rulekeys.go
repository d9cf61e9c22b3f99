package config

import "strings"

// onlyFacts is why keys that other filters have are none here.
const onlyFacts = "rules match facts and nothing else"

// tried are keys that people try in [rule.match], and what to write instead.
// Rules must come out the same for the stored facts of a message, and nothing
// in there can be of its text.
var tried = map[string]fault{
	"rcpt":          {text: "addresses of recipients are not kept: " + onlyFacts, fix: "write rcpt_domain, with their domains"},
	"sender":        {text: "addresses of senders are not kept: " + onlyFacts, fix: "write author or mail_from, with their domains"},
	"subject":       {text: "the subject is not kept: " + onlyFacts, fix: "leave it to a filter of content"},
	"body":          {text: "the body is not kept: " + onlyFacts, fix: "leave it to a filter of content, or write body_changed"},
	"message_id":    {text: "the Message-ID is not kept: " + onlyFacts, fix: "name the sender by client, spf_pass, dkim_pass or author"},
	"header":        {text: "header fields can be written by anybody and are not kept: " + onlyFacts, fix: "write list_headers, list_id or auto_submitted"},
	"envelope_from": {text: "of the envelope sender only the domain is kept", fix: "write mail_from, or spf_pass for one that is proved"},
	"from":          {text: "the From field has a domain and a form", fix: "write author for the domain, or from_field for the form"},
	"ip":            {text: "the address is that of the SMTP client", fix: "write client"},
	"spf":           {text: "a rule names the domain for which SPF passes", fix: "write spf_pass or not_spf_pass"},
	"dkim":          {text: "a rule names the domain whose signature passes", fix: "write dkim_pass, not_dkim_pass or body_changed"},
	"arc":           {text: "a rule names the sealers of a chain that passes", fix: "write arc_pass"},
	"ptr":           {text: "a name counts only when the MTA has confirmed it", fix: "write iprev"},
	"policy":        {text: "a record has a place and a policy", fix: "write requested for the policy, or policy_domain for the place"},
	"country":       {text: "where an address is, no fact tells: " + onlyFacts, fix: `write client, with networks or "map:FILE"`},
}

// otherwise are further names of the same.
var otherwise = map[string]string{
	"rcpt_to": "rcpt", "recipient": "rcpt", "recipients": "rcpt", "to": "rcpt", "rcpt_user": "rcpt", "user": "rcpt",
	"return_path": "envelope_from", "header_from": "from", "client_ip": "ip", "client_address": "ip", "mail_from_domain": "envelope_from", "mail_from_user": "sender", "from_address": "sender", "reply_to": "header",
	"headers": "header", "header_regex": "header", "text": "body", "content": "body", "attachment": "body", "msgid": "message_id",
	"spf_fail": "spf", "dkim_fail": "dkim", "dkim_selector": "dkim", "selector": "dkim", "arc_sealer": "arc", "sealer": "arc",
	"client_name": "ptr", "rdns": "ptr", "hostname": "ptr", "asn": "country", "geoip": "country", "p": "policy",
}

// explainMatch says of a key of [rule.match] that is none why there is no such
// key.
func explainMatch(table, name string) (fault, bool) {
	if withoutIndexes(table) != "rule.match" {
		return fault{}, false
	}
	key := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	if isMatchKey(key) {
		return fault{}, false // only the spelling is wrong
	}
	key, no := strings.CutPrefix(key, "not_")
	if no && isMatchKey(key) {
		return fault{text: "this key cannot be denied", fix: "list what is meant with " + key}, true
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
		if f.key == "rule.match."+name {
			return true
		}
	}
	return false
}
