package config

import (
	"fmt"
	"net/netip"
	"slices"

	"dmarcgate/policy"
)

// fields is the table of the keys that stand outside [[listener]] and
// [[trusted_relay]]: each key once, with the place of its value and the values
// that the key may have.
func fields(c *Config) []field {
	return slices.Concat(mailFields(c), dnsFields(c), serviceFields(c))
}

// mailFields are keys of the verdict on a message.
func mailFields(c *Config) []field {
	return []field{
		text("authserv_id", &c.AuthservID, checkAuthservID),
		list("authserv_ids_also", &c.AuthservIDsAlso, parseID),
		parsed("state_dir", &c.StateDir, parsePath),
		parsed("rules_dir", &c.RulesDir, parseOptionalPath),
		text("user", &c.User, checkUser),

		choice("dkim.body_length", &c.DKIM.BodyLength, "refuse", "whole"),
		number("dkim.max_key_bits", &c.DKIM.MaxKeyBits, 2048, 8192), // RFC 8301, Section 3.2; the cost grows with the square
		choice("arc.check", &c.ARC.Check, "failing", "all"),

		choice("discovery.method", &c.Discovery.Method, "treewalk", "psl"),
		parsed("discovery.psl_file", &c.Discovery.PSLFile, parseOptionalPath),
		choice("discovery.pct", &c.Discovery.Pct, "honour", "ignore"),
		flag("discovery.compare", &c.Discovery.Compare),

		wordOf("temperror.ours", &c.TempError.Ours, policy.TempAccept, policy.TempTempfail),
		wordOf("temperror.domain", &c.TempError.Domain, policy.TempTempfail, policy.TempAccept, policy.TempQuarantine),
		wordOf("temperror.unknown_client", &c.TempError.UnknownClient, policy.Tag, policy.Accept, policy.Tempfail),
		// Senders give up after four to five days (RFC 5321, Section 4.5.4.1).
		duration("temperror.max_defer", &c.TempError.MaxDefer, 5*minute, 3*day),

		fromAnswer("from.missing", &c.From.Missing),
		fromAnswer("from.empty_group", &c.From.EmptyGroup),
		fromAnswer("from.unparsable", &c.From.Unparsable),
		fromAnswer("from.several_fields", &c.From.SeveralFields),
		fromAnswer("from.too_many_domains", &c.From.TooManyDomains),
		fromAnswer("from.null_path_missing", &c.From.NullPathMissing),

		list("conformant.trusted_sealers", &c.Conformant.TrustedSealers, parseSealer),
		list("conformant.forwarder_networks", &c.Conformant.ForwarderNetworks, ParseSomeNetwork),
		list("conformant.forwarder_domains", &c.Conformant.ForwarderDomains, parseForwarder),
	}
}

// dnsFields are keys of the resolver and of its cache.
func dnsFields(c *Config) []field {
	return []field{
		list("dns.servers", &c.DNS.Servers, parseServer),
		list("dns.trusted", &c.DNS.Trusted, parseServer),
		duration("dns.query_timeout", &c.DNS.QueryTimeout, second/10, 30*second),
		duration("dns.timeout", &c.DNS.Timeout, second/10, minute),
		size("dns.cache_size", &c.DNS.CacheSize, MiB, 64*GiB),
		duration("dns.min_ttl", &c.DNS.MinTTL, 0, 5*minute),
		duration("dns.max_ttl", &c.DNS.MaxTTL, minute, 7*day), // RFC 8767, Section 4: a cap on the order of days
		// One to three hours are sensible, more than a day is a problem (RFC 2308, Section 5).
		duration("dns.max_negative_ttl", &c.DNS.MaxNegativeTTL, second, 3*hour),
		duration("dns.failure_ttl", &c.DNS.FailureTTL, second, 5*minute), // RFC 9520, Section 3.2
		duration("dns.stale_ttl", &c.DNS.StaleTTL, 0, 7*day),             // RFC 8767, Section 5: one to three days
		duration("dns.stale_negative_ttl", &c.DNS.StaleNegTTL, 0, day),
		duration("dns.stale_after", &c.DNS.StaleAfter, second/10, 30*second), // RFC 8767, Section 5: 1.8 s
		number("dns.max_in_flight", &c.DNS.MaxInFlight, 1, 100_000),
	}
}

// serviceFields are keys of the limits, of the records, of the answers and of
// the operators' side.
func serviceFields(c *Config) []field {
	return []field{
		// Postfix waits 300 s for the answer (milter_content_timeout).
		duration("limits.message_budget", &c.Limits.MessageBudget, second, 4*minute),
		number("limits.connections", &c.Limits.Connections, 1, 100_000),
		duration("limits.idle_timeout", &c.Limits.IdleTimeout, minute, day),
		number("limits.header_fields", &c.Limits.HeaderFields, 100, 100_000),
		size("limits.header_bytes", &c.Limits.HeaderBytes, 64*KiB, 256*MiB),
		size("limits.header_memory", &c.Limits.HeaderMemory, MiB, 64*GiB),
		number("limits.recipients", &c.Limits.Recipients, 100, 100_000), // RFC 5321, Section 4.5.3.1.8: at least 100
		// systemd kills what has not stopped after 90 s (DefaultTimeoutStopSec).
		duration("limits.drain_timeout", &c.Limits.DrainTimeout, second/10, minute),

		parsed("store.path", &c.Store.Path, parseOptionalPath),
		choice("store.durability", &c.Store.Durability, "off", "async", "ack", "disk"),
		duration("store.wait", &c.Store.Wait, second/100, 30*second),
		number("store.queue", &c.Store.Queue, 1, 10_000_000),
		duration("store.retention", &c.Store.Retention, 0, maxRetention),
		size("store.max_size", &c.Store.MaxSize, 0, 1024*GiB),
		size("store.min_free", &c.Store.MinFree, 0, 1024*GiB),
		text("store.postgres.url", &c.Store.Postgres.URL, checkPostgres),
		parsed("store.postgres.password_file", &c.Store.Postgres.PasswordFile, parseOptionalPath),
		duration("store.postgres.retention", &c.Store.Postgres.Retention, 0, maxRetention),

		duration("privacy.shorten_ip_after", &c.Privacy.ShortenIPAfter, 0, maxRetention),
		flag("privacy.keep_recipients", &c.Privacy.KeepRecipients),
		flag("privacy.hash_queue_ids", &c.Privacy.HashQueueIDs),
		parsed("privacy.key_file", &c.Privacy.KeyFile, parseOptionalPath),

		parsed("sampling.secret_file", &c.Sampling.SecretFile, parseOptionalPath),

		choice("reports.schema", &c.Reports.Schema, "rfc9990", "rfc7489"),

		text("reply.reject", &c.Reply.Reject, checkReply),
		text("reply.tempfail", &c.Reply.TempFail, checkReply),
		text("reply.no_author", &c.Reply.NoAuthor, checkReply),
		text("reply.help", &c.Reply.Help, checkHelp),

		text("header.tag", &c.Header.Tag, checkFieldName),
		flag("header.remove_bimi", &c.Header.RemoveBIMI),

		parsed("admin.listen", &c.Admin.Listen, parseAdmin),
		flag("admin.allow_remote", &c.Admin.AllowRemote),
		parsed("admin.control", &c.Admin.Control, parseOptionalPath),

		choice("log.format", &c.Log.Format, "logfmt", "json"),
		choice("log.level", &c.Log.Level, "debug", "info", "warn", "error"),
	}
}

// Keys returns every key that a file may have, those of the tables that repeat
// as "listener.name" and "trusted_relay.names".
func Keys() []string {
	var keys []string
	for _, list := range [][]field{fields(&Config{}), listenerFields("listener", &Listener{}), relayFields("trusted_relay", &TrustedRelay{})} {
		for _, f := range list {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// maxRetention is ten years: longer than any law known to us asks for.
const maxRetention = 3650 * day

func fromAnswer(key string, p *policy.FromAnswer) field {
	return wordOf(key, p, policy.FromProfile, policy.FromAccept, policy.FromQuarantine, policy.FromReject)
}

// listenerFields is the same for the [[listener]] at path.
func listenerFields(path string, l *Listener) []field {
	return []field{
		required(`write for example name = "mta"`,
			text(path+".name", &l.Name, checkName)),
		required(`write for example address = "unix:/run/dmarcgate/milter.sock"`,
			parsed(path+".address", &l.Address, parseAddress)),
		text(path+".authserv_id", &l.AuthservID, checkAuthservID),
		flag(path+".trust_mta_name", &l.TrustMTAName),
		parsed(path+".socket_mode", &l.SocketMode, parseMode),
		text(path+".socket_owner", &l.SocketOwner, checkOwner),
		required(`write profile = "monitor" to record and enforce nothing, or "conformant" or "strict"`,
			wordOf(path+".profile", &l.Profile, policy.Monitor, policy.Conformant, policy.Strict)),
		share(path+".enforce_share", &l.EnforceShare, `to enforce nothing, write profile = "monitor"`),
		wordOf(path+".quarantine", &l.Quarantine, policy.Tag, policy.Hold, policy.Refuse),
		list(path+".trusted_networks", &l.TrustedNetworks, parseNetwork),
	}
}

// relayFields is the same for the [[trusted_relay]] at path.
func relayFields(path string, r *TrustedRelay) []field {
	return []field{
		required(`write for example networks = ["192.0.2.25"]`,
			list(path+".networks", &r.Networks, parseNetwork)),
		required(`write the names that these hosts give after "by" in Received, for example names = ["relay.example.org"]`,
			list(path+".names", &r.Names, parseHostName)),
		list(path+".inner_networks", &r.Inner, parseNetwork),
	}
}

// validate returns what is wrong with values that have been read, each fault
// with the path of its key.
func validate(c *Config) []fault {
	all := fields(c)
	for i := range c.Listeners {
		all = append(all, listenerFields(element("listener", i), &c.Listeners[i])...)
	}
	var faults []fault
	for _, f := range all {
		if f.check == nil {
			continue
		}
		if err := f.check(); err != nil {
			faults = append(faults, at(f.key, err))
		}
	}
	faults = append(append(faults, checkListeners(c.Listeners)...), checkTogether(c)...)
	return append(faults, checkTrust(c)...)
}

// checkListeners checks what concerns several listeners.
func checkListeners(ls []Listener) []fault {
	if len(ls) == 0 {
		return []fault{{at: "listener", text: "there is none", mend: "add a [[listener]] table with name, address and profile"}}
	}
	var faults []fault
	for i, l := range ls {
		path := element("listener", i)
		if slices.ContainsFunc(ls[:i], func(o Listener) bool { return o.Name == l.Name }) {
			faults = append(faults, fault{
				at:   path + ".name",
				text: fmt.Sprintf("another listener is named %q", l.Name),
				mend: "give each its own name",
			})
		}
		if slices.ContainsFunc(ls[:i], func(o Listener) bool { return o.Address == l.Address }) {
			faults = append(faults, fault{
				at:   path + ".address",
				text: fmt.Sprintf("another listener has %v", l.Address),
				mend: "give each its own address",
			})
		}
	}
	return faults
}

// checkTogether checks what concerns several keys.
func checkTogether(c *Config) []fault {
	faults := append(checkDNS(c.DNS), checkStore(c)...)
	if c.DNS.QueryTimeout > c.DNS.Timeout {
		faults = append(faults, fault{
			at: "dns.query_timeout", or: "dns.timeout",
			text: fmt.Sprintf("%v is longer than dns.timeout, %v", c.DNS.QueryTimeout, c.DNS.Timeout),
			mend: "a lookup is one query or more: make dns.timeout the longer one",
		})
	}
	if c.DNS.Timeout >= c.Limits.MessageBudget {
		faults = append(faults, fault{
			at: "dns.timeout", or: "limits.message_budget",
			text: fmt.Sprintf("%v does not fit into limits.message_budget, %v", c.DNS.Timeout, c.Limits.MessageBudget),
			mend: "a message needs several lookups: make the budget the longer one",
		})
	}
	if c.Limits.HeaderBytes > c.Limits.HeaderMemory {
		faults = append(faults, fault{
			at: "limits.header_bytes", or: "limits.header_memory",
			text: fmt.Sprintf("%v does not fit into limits.header_memory, %v", c.Limits.HeaderBytes, c.Limits.HeaderMemory),
			mend: "one message would take all of the memory: make limits.header_memory the larger one, better 32 times as large",
		})
	}
	if c.Admin.Listen != "" && !c.Admin.AllowRemote && !isLoopback(c.Admin.Listen) {
		faults = append(faults, fault{
			at:   "admin.listen",
			text: fmt.Sprintf("%q can be reached from other hosts, without a password", c.Admin.Listen),
			mend: `write "127.0.0.1:9435", or also allow_remote = true behind a firewall`,
		})
	}
	return faults
}

// checkDNS checks what concerns several keys of [dns].
func checkDNS(d DNS) []fault {
	faults := checkTrusted(d)
	// Its default does no harm: a lookup that ends sooner fails sooner, and the
	// stale answer is there at once.
	if d.StaleAfter >= d.Timeout && d.StaleAfter != Default().DNS.StaleAfter {
		faults = append(faults, fault{
			at:   "dns.stale_after",
			text: fmt.Sprintf("%v is not below dns.timeout, %v", d.StaleAfter, d.Timeout),
			mend: "a lookup that has failed waits for nothing: make dns.timeout the longer one",
		})
	}
	if d.MinTTL > d.MaxTTL {
		faults = append(faults, fault{
			at:   "dns.min_ttl",
			text: fmt.Sprintf("%v is longer than dns.max_ttl, %v", d.MinTTL, d.MaxTTL),
			mend: "make dns.max_ttl the longer one",
		})
	}
	return faults
}

// checkTrusted checks that trust is in servers that are asked.
func checkTrusted(d DNS) []fault {
	var faults []fault
	for i, s := range d.Trusted {
		if slices.Contains(d.Servers, s) {
			continue
		}
		f := fault{at: element("dns.trusted", i), text: fmt.Sprintf("%q is not one of dns.servers", s), mend: "name it there, too"}
		if len(d.Servers) == 0 {
			f.mend = `name it there, too; those of /etc/resolv.conf are trusted by "options trust-ad" in that file`
		}
		faults = append(faults, f)
	}
	return faults
}

func isLoopback(s string) bool {
	ap, err := netip.ParseAddrPort(s)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
