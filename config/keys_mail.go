package config

import (
	"net/netip"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// The keys of the verdict on a message: place, default and range.

// DKIM says which signatures and keys are accepted.
type DKIM struct {
	BodyLength string // refuse or whole: what a signature with l= is worth
	MaxKeyBits int    // of RSA keys
}

// ARC says for which messages the chain is validated.
type ARC struct {
	Check string // failing (those that do not pass DMARC) or all
}

// Discovery says how the DMARC record of a domain is found.
type Discovery struct {
	Method  string // treewalk (RFC 9989, Section 4.10) or psl (RFC 7489, Section 6.6.3)
	PSLFile string // absolute; "" is the list built in
	Pct     string // honour or ignore
	Compare bool   // ask by the other method, too, and tell the differences
}

// TempError says what happens to mail whose verdict hangs on a DNS failure.
type TempError struct {
	Ours     TempAnswer        // no query of our resolver is answered; not TempQuarantine
	Domain   TempAnswer        // others resolve, this domain does not
	MaxDefer tomlfile.Duration // how long one author domain and client are deferred

	UnknownClient policy.Action // policy.Tag, Accept or Tempfail: no DKIM pass, and SPF has no client to check
}

// Conformant says whom the profile conformant believes that a message is
// genuine although it fails.
type Conformant struct {
	TrustedSealers    []string // of ARC; lower-case A-labels
	ForwarderNetworks []netip.Prefix
	ForwarderDomains  []pattern.Domain // for which SPF or DKIM passes
}

func mailDefaults(c *Config) {
	c.StateDir = "/var/lib/dmarcgate"
	c.DKIM = DKIM{BodyLength: "refuse", MaxKeyBits: 4096}
	c.ARC = ARC{Check: "failing"}
	c.Discovery = Discovery{Method: "treewalk", Pct: "honour"}
	c.TempError = TempError{Ours: TempAccept, Domain: TempTempfail, UnknownClient: policy.Tag, MaxDefer: 4 * hour}
}

// mailFields are keys of the verdict on a message.
func mailFields(c *Config) []tomlfile.Field {
	return []tomlfile.Field{
		tomlfile.Text("authserv_id", &c.AuthservID, checkAuthservID),
		tomlfile.List("authserv_ids_also", &c.AuthservIDsAlso, parseID),
		tomlfile.Parsed("state_dir", &c.StateDir, parsePath),
		tomlfile.Parsed("rules_dir", &c.RulesDir, parseOptionalPath),
		tomlfile.Text("user", &c.User, checkUser),

		tomlfile.Choice("dkim.body_length", &c.DKIM.BodyLength, "refuse", "whole"),
		tomlfile.NumberBetween("dkim.max_key_bits", &c.DKIM.MaxKeyBits, 2048, 8192), // RFC 8301, Section 3.2; the cost grows with the square
		tomlfile.Choice("arc.check", &c.ARC.Check, "failing", "all"),

		tomlfile.Choice("discovery.method", &c.Discovery.Method, "treewalk", "psl"),
		tomlfile.Parsed("discovery.psl_file", &c.Discovery.PSLFile, parseOptionalPath),
		tomlfile.Choice("discovery.pct", &c.Discovery.Pct, "honour", "ignore"),
		tomlfile.Flag("discovery.compare", &c.Discovery.Compare),

		tomlfile.WordOf("temperror.ours", &c.TempError.Ours, TempAccept, TempTempfail),
		tomlfile.WordOf("temperror.domain", &c.TempError.Domain, TempTempfail, TempAccept, TempQuarantine),
		tomlfile.WordOf("temperror.unknown_client", &c.TempError.UnknownClient, policy.Tag, policy.Accept, policy.Tempfail),
		// Senders give up after four to five days (RFC 5321, Section 4.5.4.1).
		tomlfile.DurationBetween("temperror.max_defer", &c.TempError.MaxDefer, 5*minute, 3*day),

		fromAnswer("from.missing", &c.From.Missing),
		fromAnswer("from.empty_group", &c.From.EmptyGroup),
		fromAnswer("from.unparsable", &c.From.Unparsable),
		fromAnswer("from.several_fields", &c.From.SeveralFields),
		fromAnswer("from.too_many_domains", &c.From.TooManyDomains),
		fromAnswer("from.null_path_missing", &c.From.NullPathMissing),

		tomlfile.List("conformant.trusted_sealers", &c.Conformant.TrustedSealers, parseSealer),
		tomlfile.List("conformant.forwarder_networks", &c.Conformant.ForwarderNetworks, ParseSomeNetwork),
		tomlfile.List("conformant.forwarder_domains", &c.Conformant.ForwarderDomains, parseForwarder),
	}
}

// mailEffects has the keys above that shape no facts: see effect.
var mailEffects = map[string]effect{
	"rules_dir":                     applied,
	"discovery.pct":                 applied,
	"temperror.ours":                applied,
	"temperror.domain":              applied,
	"temperror.unknown_client":      applied,
	"from.missing":                  applied,
	"from.empty_group":              applied,
	"from.unparsable":               applied,
	"from.several_fields":           applied,
	"from.too_many_domains":         applied,
	"from.null_path_missing":        applied,
	"conformant.trusted_sealers":    applied,
	"conformant.forwarder_networks": applied,
	"conformant.forwarder_domains":  applied,
	"user":                          neutral,
	"state_dir":                     neutral, // but for the sampling key, see sampling.secret_file
	"arc.check":                     neutral, // only whether the chain of what passes is known, which decides nothing
	"discovery.compare":             neutral, // what it finds decides nothing
}

func fromAnswer(key string, p *policy.FromAnswer) tomlfile.Field {
	return tomlfile.WordOf(key, p, policy.FromProfile, policy.FromAccept, policy.FromQuarantine, policy.FromReject)
}
