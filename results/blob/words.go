package blob

// words are the strings that rows have most often, those first that have the
// shortest number. The list only grows, at its end: files hold the places.
// A program cannot read a row with a word that it does not have, so a list
// that grew goes with a newer schema.
var words = []string{
	"", "pass", "fail", "none", "neutral", "softfail", "temperror", "permerror", "policy",
	"one", "several_mailboxes", "several_domains", "several_fields", "empty_group", "missing", "unparsable",
	"author", "org", "psd",
	"rsa-sha256", "ed25519-sha256", "rsa-sha1",
	"relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple",
	"signature verified", "signature did not verify", "body hash did not verify", "no key record", "signature expired", "key revoked",
	"matched all", "matched include", "matched a", "matched mx", "matched ptr", "matched ip4", "matched ip6", "matched exists",
	"no SPF record", "no mechanism matched", "no domain to check", "DNS lookup failed",
	"-all", "~all", "?all", "a", "mx",
	"v=DMARC1; p=none", "v=DMARC1; p=quarantine", "v=DMARC1; p=reject",
	"no aligned SPF or DKIM pass: nothing authenticated",
	"spf", "dkim", "dmarc", "all seals verified",
	"local_policy", "policy_test_mode", "sampled_out", "trusted_forwarder", "mailing_list", "other",
	"arc_sealer", "forwarder", "body_changed", "sends_no_mail", "no_such_domain", "history", "null_mx",
	"authenticated", "loopback", "trusted_network", "not_ip", "behind_relay",
	"not evaluated: authenticated", "not evaluated: loopback", "not evaluated: trusted_network",
	"record", "verdict", "disposition", "unready",
	"s1", "s2", "selector1", "selector2", "default", "dkim1", "mail", "google", "k1",
}

// wordNumbers are the places of words.
var wordNumbers = func() map[string]int {
	m := make(map[string]int, len(words))
	for i, w := range words {
		m[w] = i
	}
	return m
}()
