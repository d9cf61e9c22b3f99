package config

import (
	"fmt"
	"net/netip"
	"slices"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
)

// fields is the table of the keys that stand outside [[listener]] and
// [[trusted_relay]]: each key once, with the place of its value and the values
// that the key may have.
func fields(c *Config) []tomlfile.Field {
	return slices.Concat(mailFields(c), dnsFields(c), serviceFields(c))
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

		tomlfile.WordOf("temperror.ours", &c.TempError.Ours, policy.TempAccept, policy.TempTempfail),
		tomlfile.WordOf("temperror.domain", &c.TempError.Domain, policy.TempTempfail, policy.TempAccept, policy.TempQuarantine),
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

// dnsFields are keys of the resolver and of its cache.
func dnsFields(c *Config) []tomlfile.Field {
	return []tomlfile.Field{
		tomlfile.List("dns.servers", &c.DNS.Servers, parseServer),
		tomlfile.List("dns.trusted", &c.DNS.Trusted, parseServer),
		tomlfile.DurationBetween("dns.query_timeout", &c.DNS.QueryTimeout, second/10, 30*second),
		tomlfile.DurationBetween("dns.timeout", &c.DNS.Timeout, second/10, minute),
		tomlfile.SizeBetween("dns.cache_size", &c.DNS.CacheSize, tomlfile.MiB, 64*tomlfile.GiB),
		tomlfile.DurationBetween("dns.min_ttl", &c.DNS.MinTTL, 0, 5*minute),
		tomlfile.DurationBetween("dns.max_ttl", &c.DNS.MaxTTL, minute, 7*day), // RFC 8767, Section 4: a cap on the order of days
		// One to three hours are sensible, more than a day is a problem (RFC 2308, Section 5).
		tomlfile.DurationBetween("dns.max_negative_ttl", &c.DNS.MaxNegativeTTL, second, 3*hour),
		tomlfile.DurationBetween("dns.failure_ttl", &c.DNS.FailureTTL, second, 5*minute), // RFC 9520, Section 3.2
		tomlfile.DurationBetween("dns.stale_ttl", &c.DNS.StaleTTL, 0, 7*day),             // RFC 8767, Section 5: one to three days
		tomlfile.DurationBetween("dns.stale_negative_ttl", &c.DNS.StaleNegTTL, 0, day),
		tomlfile.DurationBetween("dns.stale_after", &c.DNS.StaleAfter, second/10, 30*second), // RFC 8767, Section 5: 1.8 s
		tomlfile.NumberBetween("dns.max_in_flight", &c.DNS.MaxInFlight, 1, 100_000),
	}
}

// serviceFields are keys of the limits, of the records, of the answers and of
// the operators' side.
func serviceFields(c *Config) []tomlfile.Field {
	return []tomlfile.Field{
		// Postfix waits 300 s for the answer (milter_content_timeout).
		tomlfile.DurationBetween("limits.message_budget", &c.Limits.MessageBudget, second, 4*minute),
		tomlfile.NumberBetween("limits.connections", &c.Limits.Connections, 1, 100_000),
		tomlfile.DurationBetween("limits.idle_timeout", &c.Limits.IdleTimeout, minute, day),
		tomlfile.NumberBetween("limits.header_fields", &c.Limits.HeaderFields, 100, 100_000),
		tomlfile.SizeBetween("limits.header_bytes", &c.Limits.HeaderBytes, 64*tomlfile.KiB, 256*tomlfile.MiB),
		tomlfile.SizeBetween("limits.header_memory", &c.Limits.HeaderMemory, tomlfile.MiB, 64*tomlfile.GiB),
		tomlfile.NumberBetween("limits.recipients", &c.Limits.Recipients, 100, 100_000), // RFC 5321, Section 4.5.3.1.8: at least 100
		// systemd kills what has not stopped after 90 s (DefaultTimeoutStopSec).
		tomlfile.DurationBetween("limits.drain_timeout", &c.Limits.DrainTimeout, second/10, minute),

		tomlfile.Parsed("store.path", &c.Store.Path, parseOptionalPath),
		tomlfile.Choice("store.durability", &c.Store.Durability, "off", "async", "ack", "disk"),
		tomlfile.DurationBetween("store.wait", &c.Store.Wait, second/100, 30*second),
		tomlfile.NumberBetween("store.queue", &c.Store.Queue, 1, 10_000_000),
		tomlfile.DurationBetween("store.retention", &c.Store.Retention, 0, maxRetention),
		tomlfile.SizeBetween("store.max_size", &c.Store.MaxSize, 0, 1024*tomlfile.GiB),
		tomlfile.SizeBetween("store.min_free", &c.Store.MinFree, 0, 1024*tomlfile.GiB),
		tomlfile.Text("store.postgres.url", &c.Store.Postgres.URL, checkPostgres),
		tomlfile.Parsed("store.postgres.password_file", &c.Store.Postgres.PasswordFile, parseOptionalPath),
		tomlfile.DurationBetween("store.postgres.retention", &c.Store.Postgres.Retention, 0, maxRetention),

		tomlfile.DurationBetween("privacy.shorten_ip_after", &c.Privacy.ShortenIPAfter, 0, maxRetention),
		tomlfile.Flag("privacy.keep_recipients", &c.Privacy.KeepRecipients),
		tomlfile.Flag("privacy.hash_queue_ids", &c.Privacy.HashQueueIDs),
		tomlfile.Parsed("privacy.key_file", &c.Privacy.KeyFile, parseOptionalPath),

		tomlfile.Parsed("sampling.secret_file", &c.Sampling.SecretFile, parseOptionalPath),

		tomlfile.Choice("reports.schema", &c.Reports.Schema, "rfc9990", "rfc7489"),

		tomlfile.Text("reply.reject", &c.Reply.Reject, checkReply),
		tomlfile.Text("reply.tempfail", &c.Reply.TempFail, checkReply),
		tomlfile.Text("reply.no_author", &c.Reply.NoAuthor, checkReply),
		tomlfile.Text("reply.help", &c.Reply.Help, checkHelp),

		tomlfile.Text("header.tag", &c.Header.Tag, checkFieldName),
		tomlfile.Flag("header.remove_bimi", &c.Header.RemoveBIMI),

		tomlfile.Parsed("admin.listen", &c.Admin.Listen, parseAdmin),
		tomlfile.Flag("admin.allow_remote", &c.Admin.AllowRemote),
		tomlfile.Parsed("admin.control", &c.Admin.Control, parseOptionalPath),

		tomlfile.Choice("log.format", &c.Log.Format, "logfmt", "json"),
		tomlfile.Choice("log.level", &c.Log.Level, "debug", "info", "warn", "error"),
	}
}

// Keys returns every key that a file may have, those of the tables that repeat
// as "listener.name" and "trusted_relay.names".
func Keys() []string {
	var keys []string
	for _, list := range [][]tomlfile.Field{fields(&Config{}), listenerFields("listener", &Listener{}), relayFields("trusted_relay", &TrustedRelay{})} {
		for _, f := range list {
			keys = append(keys, f.Key)
		}
	}
	return keys
}

// maxRetention is ten years: longer than any law known to us asks for.
const maxRetention = 3650 * day

func fromAnswer(key string, p *policy.FromAnswer) tomlfile.Field {
	return tomlfile.WordOf(key, p, policy.FromProfile, policy.FromAccept, policy.FromQuarantine, policy.FromReject)
}

// listenerFields is the same for the [[listener]] at path.
func listenerFields(path string, l *Listener) []tomlfile.Field {
	return []tomlfile.Field{
		tomlfile.Required(`write for example name = "mta"`,
			tomlfile.Text(path+".name", &l.Name, checkName)),
		tomlfile.Required(`write for example address = "unix:/run/dmarcgate/milter.sock"`,
			tomlfile.Parsed(path+".address", &l.Address, parseAddress)),
		tomlfile.Text(path+".authserv_id", &l.AuthservID, checkAuthservID),
		tomlfile.Flag(path+".trust_mta_name", &l.TrustMTAName),
		tomlfile.Parsed(path+".socket_mode", &l.SocketMode, parseMode),
		tomlfile.Text(path+".socket_owner", &l.SocketOwner, checkOwner),
		tomlfile.Required(`write profile = "monitor" to record and enforce nothing, or "conformant" or "strict"`,
			tomlfile.WordOf(path+".profile", &l.Profile, policy.Monitor, policy.Conformant, policy.Strict)),
		tomlfile.Share(path+".enforce_share", &l.EnforceShare, `to enforce nothing, write profile = "monitor"`),
		tomlfile.WordOf(path+".quarantine", &l.Quarantine, policy.Tag, policy.Hold, policy.Refuse),
		tomlfile.List(path+".trusted_networks", &l.TrustedNetworks, parseNetwork),
	}
}

// relayFields is the same for the [[trusted_relay]] at path.
func relayFields(path string, r *TrustedRelay) []tomlfile.Field {
	return []tomlfile.Field{
		tomlfile.Required(`write for example networks = ["192.0.2.25"]`,
			tomlfile.List(path+".networks", &r.Networks, parseNetwork)),
		tomlfile.Required(`write the names that these hosts give after "by" in Received, for example names = ["relay.example.org"]`,
			tomlfile.List(path+".names", &r.Names, parseHostName)),
		tomlfile.List(path+".inner_networks", &r.Inner, parseNetwork),
	}
}

// validate returns what is wrong with values that have been read, each fault
// with the path of its key.
func validate(c *Config) []tomlfile.Fault {
	all := fields(c)
	for i := range c.Listeners {
		all = append(all, listenerFields(tomlfile.Element("listener", i), &c.Listeners[i])...)
	}
	var faults []tomlfile.Fault
	for _, f := range all {
		if f.Check == nil {
			continue
		}
		if err := f.Check(); err != nil {
			faults = append(faults, tomlfile.FaultAt(f.Key, err))
		}
	}
	faults = append(append(faults, checkListeners(c.Listeners)...), checkTogether(c)...)
	return append(faults, checkTrust(c)...)
}

// checkListeners checks what concerns several listeners.
func checkListeners(ls []Listener) []tomlfile.Fault {
	if len(ls) == 0 {
		return []tomlfile.Fault{{At: "listener", Text: "there is none", Mend: "add a [[listener]] table with name, address and profile"}}
	}
	var faults []tomlfile.Fault
	for i, l := range ls {
		path := tomlfile.Element("listener", i)
		if slices.ContainsFunc(ls[:i], func(o Listener) bool { return o.Name == l.Name }) {
			faults = append(faults, tomlfile.Fault{
				At:   path + ".name",
				Text: fmt.Sprintf("another listener is named %q", l.Name),
				Mend: "give each its own name",
			})
		}
		if slices.ContainsFunc(ls[:i], func(o Listener) bool { return o.Address == l.Address }) {
			faults = append(faults, tomlfile.Fault{
				At:   path + ".address",
				Text: fmt.Sprintf("another listener has %v", l.Address),
				Mend: "give each its own address",
			})
		}
	}
	return faults
}

// checkTogether checks what concerns several keys.
func checkTogether(c *Config) []tomlfile.Fault {
	faults := append(checkDNS(c.DNS), checkStore(c)...)
	if c.DNS.QueryTimeout > c.DNS.Timeout {
		faults = append(faults, tomlfile.Fault{
			At: "dns.query_timeout", Or: "dns.timeout",
			Text: fmt.Sprintf("%v is longer than dns.timeout, %v", c.DNS.QueryTimeout, c.DNS.Timeout),
			Mend: "a lookup is one query or more: make dns.timeout the longer one",
		})
	}
	if c.DNS.Timeout >= c.Limits.MessageBudget {
		faults = append(faults, tomlfile.Fault{
			At: "dns.timeout", Or: "limits.message_budget",
			Text: fmt.Sprintf("%v does not fit into limits.message_budget, %v", c.DNS.Timeout, c.Limits.MessageBudget),
			Mend: "a message needs several lookups: make the budget the longer one",
		})
	}
	if c.Limits.HeaderBytes > c.Limits.HeaderMemory {
		faults = append(faults, tomlfile.Fault{
			At: "limits.header_bytes", Or: "limits.header_memory",
			Text: fmt.Sprintf("%v does not fit into limits.header_memory, %v", c.Limits.HeaderBytes, c.Limits.HeaderMemory),
			Mend: "one message would take all of the memory: make limits.header_memory the larger one, better 32 times as large",
		})
	}
	if c.Admin.Listen != "" && !c.Admin.AllowRemote && !isLoopback(c.Admin.Listen) {
		faults = append(faults, tomlfile.Fault{
			At:   "admin.listen",
			Text: fmt.Sprintf("%q can be reached from other hosts, without a password", c.Admin.Listen),
			Mend: `write "127.0.0.1:9435", or also allow_remote = true behind a firewall`,
		})
	}
	return faults
}

// checkDNS checks what concerns several keys of [dns].
func checkDNS(d DNS) []tomlfile.Fault {
	faults := checkTrusted(d)
	// Its default does no harm: a lookup that ends sooner fails sooner, and the
	// stale answer is there at once.
	if d.StaleAfter >= d.Timeout && d.StaleAfter != Default().DNS.StaleAfter {
		faults = append(faults, tomlfile.Fault{
			At:   "dns.stale_after",
			Text: fmt.Sprintf("%v is not below dns.timeout, %v", d.StaleAfter, d.Timeout),
			Mend: "a lookup that has failed waits for nothing: make dns.timeout the longer one",
		})
	}
	if d.MinTTL > d.MaxTTL {
		faults = append(faults, tomlfile.Fault{
			At:   "dns.min_ttl",
			Text: fmt.Sprintf("%v is longer than dns.max_ttl, %v", d.MinTTL, d.MaxTTL),
			Mend: "make dns.max_ttl the longer one",
		})
	}
	return faults
}

// checkTrusted checks that trust is in servers that are asked.
func checkTrusted(d DNS) []tomlfile.Fault {
	var faults []tomlfile.Fault
	for i, s := range d.Trusted {
		if slices.Contains(d.Servers, s) {
			continue
		}
		f := tomlfile.Fault{At: tomlfile.Element("dns.trusted", i), Text: fmt.Sprintf("%q is not one of dns.servers", s), Mend: "name it there, too"}
		if len(d.Servers) == 0 {
			f.Mend = `name it there, too; those of /etc/resolv.conf are trusted by "options trust-ad" in that file`
		}
		faults = append(faults, f)
	}
	return faults
}

func isLoopback(s string) bool {
	ap, err := netip.ParseAddrPort(s)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
