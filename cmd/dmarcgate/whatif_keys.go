package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/policy"
)

// keyClass says what a key of the configuration is to what-if.
type keyClass uint8

const (
	unclassed keyClass = iota
	applied            // stored messages are decided by its value, as the daemon would
	shaping            // it can make other facts of the same message: see shapingKey
	neutral            // no decision depends on it
)

// keyClasses has every key of the configuration that does not shape facts. A
// test fails for a key that is neither here nor among shapingKeys.
//
// What the neutral ones do not change is the decision about a message. Two
// assumptions are behind that: other mail, and the history that the store has of
// senders, are as they were; so are the names of hosts, the files that a key
// names, and the clock.
var keyClasses = map[string]keyClass{
	"listener.name": applied, "listener.profile": applied, "listener.enforce_share": applied, "listener.quarantine": applied,
	"listener.trusted_networks": applied, // see origin
	"rules_dir":                 applied, "discovery.pct": applied,
	"temperror.ours": applied, "temperror.domain": applied, "temperror.unknown_client": applied,
	"from.missing": applied, "from.empty_group": applied, "from.unparsable": applied, "from.several_fields": applied,
	"from.too_many_domains": applied, "from.null_path_missing": applied,
	"conformant.trusted_sealers": applied, "conformant.forwarder_networks": applied, "conformant.forwarder_domains": applied,

	// Names and texts.
	"header.tag":   neutral,
	"reply.reject": neutral, "reply.tempfail": neutral, "reply.no_author": neutral, "reply.help": neutral, "reports.schema": neutral,
	"user": neutral,
	// How it is reached, and how it is watched.
	"listener.address": neutral, "listener.socket_mode": neutral, "listener.socket_owner": neutral,
	"limits.connections": neutral, "limits.idle_timeout": neutral, "limits.drain_timeout": neutral,
	"admin.listen": neutral, "admin.allow_remote": neutral, "admin.control": neutral, "log.format": neutral, "log.level": neutral,
	// What is kept. Messages are read from the store that the candidate names.
	"state_dir":  neutral, // but for the sampling key, see sampling.secret_file
	"store.path": neutral, "store.durability": neutral, "store.wait": neutral, "store.queue": neutral, "store.max_size": neutral, "store.min_free": neutral,
	"store.postgres.url": neutral, "store.postgres.password_file": neutral, "store.postgres.retention": neutral,
	"privacy.shorten_ip_after": neutral, "privacy.keep_recipients": neutral, "privacy.hash_queue_ids": neutral, "privacy.key_file": neutral,
	"arc.check":         neutral, // only whether the chain of what passes is known, which decides nothing
	"discovery.compare": neutral, // what it finds decides nothing
	"dns.trusted":       neutral, // shown, and nothing more
}

// shapingKey is a key that can make other facts of the same message.
type shapingKey struct {
	key string
	// code stands for the key in results.Row.Shape. It is never given to another
	// key, also when its own is gone.
	code byte
	// restart says that a reload does not change the value that the daemon uses.
	restart bool
	// value is what is compared: a number, or any other text by its hash.
	value func(*config.Config) shapeValue
	// touches says what of a message that was evaluated could be otherwise under
	// another value.
	touches func(m *stored, was, now shapeValue) reach
}

// shapeValue is a value in the form in which rows have it: number is what it
// says when the key is one, so that the smaller of two is known.
type shapeValue struct {
	text   string
	number int64
}

// stored is a stored message, with the settings that it is decided by again.
type stored struct {
	facts *policy.Facts
	try   *policy.Settings
}

// reach is what of a message another value could change: some facts, or all.
type reach struct {
	lacks policy.Lack
	all   bool
}

var (
	untouched = reach{}
	whole     = reach{all: true}
)

func wholeIf(touched bool) reach { return reach{all: touched} }

// shapingKeys are in the order in which they are named to the reader.
var shapingKeys = []shapingKey{
	{"trusted_relay.networks", 'r', false, relayNetworks, anyRelay},
	{"trusted_relay.names", 'n', false, relayNames, anyRelay},
	{"trusted_relay.inner_networks", 'N', false, relayInner, anyRelay},
	// Of a message with more forged fields than can be removed, nothing is accepted.
	// Which fields are forged hangs on our names; how many others a message has is
	// not in the facts.
	{"authserv_id", 'A', false, func(c *config.Config) shapeValue { return hashed(c.AuthservID) }, anything},
	{"authserv_ids_also", 'B', false, func(c *config.Config) shapeValue { return hashed(strings.Join(c.AuthservIDsAlso, " ")) }, anything},
	{"listener.authserv_id", 'C', false, func(c *config.Config) shapeValue {
		return hashed(ofListeners(c, func(l config.Listener) string {
			if l.AuthservID == c.AuthservID {
				return ""
			}
			return l.AuthservID
		}))
	}, anything},
	{"listener.trust_mta_name", 'D', false, func(c *config.Config) shapeValue {
		return hashed(ofListeners(c, func(l config.Listener) string {
			if l.TrustMTAName {
				return "yes"
			}
			return ""
		}))
	}, anything},
	{"header.remove_bimi", 'j', false, func(c *config.Config) shapeValue { return numbered(one(c.Header.RemoveBIMI)) }, func(m *stored, was, now shapeValue) reach {
		return wholeIf(now.number > was.number || m.facts.TooManyForged)
	}},
	{"discovery.method", 'm', false, func(c *config.Config) shapeValue { return hashed(c.Discovery.Method) }, hasAuthors},
	{"discovery.psl_file", 'p', false, func(c *config.Config) shapeValue {
		if c.Discovery.Method != "psl" {
			return hashed("")
		}
		return hashed(c.Discovery.PSLFile)
	}, hasAuthors},
	{"dkim.body_length", 'l', false, func(c *config.Config) shapeValue { return numbered(int64(len(c.DKIM.BodyLength))) }, partlySigned},
	{"dkim.max_key_bits", 'b', false, func(c *config.Config) shapeValue { return numbered(int64(c.DKIM.MaxKeyBits)) }, longKey},
	{"temperror.max_defer", 'd', false, func(c *config.Config) shapeValue { return span(c.TempError.MaxDefer) }, deferral},
	{"sampling.secret_file", 's', true, func(c *config.Config) shapeValue { return hashed(c.Sampling.SecretFile) }, drawn},
	{"limits.header_fields", 'f', true, func(c *config.Config) shapeValue { return numbered(int64(c.Limits.HeaderFields)) }, cutHeader},
	{"limits.header_bytes", 'h', true, func(c *config.Config) shapeValue { return numbered(int64(c.Limits.HeaderBytes)) }, cutHeader},
	{"limits.header_memory", 'H', true, func(c *config.Config) shapeValue { return numbered(int64(c.Limits.HeaderMemory)) }, cutHeader},
	{"limits.recipients", 'c', true, func(c *config.Config) shapeValue { return numbered(int64(c.Limits.Recipients)) }, func(*stored, shapeValue, shapeValue) reach {
		return reach{lacks: policy.LackRecipients} // of more, those above the limit are not known
	}},
	{"limits.message_budget", 'u', false, func(c *config.Config) shapeValue { return span(c.Limits.MessageBudget) }, waiting},
	{"dns.servers", 'v', false, func(c *config.Config) shapeValue { return hashed(strings.Join(c.DNS.Servers, " ")) }, anything},
	{"dns.query_timeout", 'q', true, func(c *config.Config) shapeValue { return span(c.DNS.QueryTimeout) }, anything}, // a longer one leaves less time for the next server
	{"dns.timeout", 't', true, func(c *config.Config) shapeValue { return span(c.DNS.Timeout) }, waiting},
	{"dns.max_in_flight", 'i', true, func(c *config.Config) shapeValue { return numbered(int64(c.DNS.MaxInFlight)) }, waiting},
	{"dns.failure_ttl", 'e', true, func(c *config.Config) shapeValue { return span(c.DNS.FailureTTL) }, remembering},
	{"dns.stale_after", 'a', true, func(c *config.Config) shapeValue { return span(c.DNS.StaleAfter) }, waiting},
	{"dns.stale_ttl", 'o', true, func(c *config.Config) shapeValue { return span(c.DNS.StaleTTL) }, remembering},
	{"dns.stale_negative_ttl", 'O', true, func(c *config.Config) shapeValue { return span(c.DNS.StaleNegTTL) }, remembering},
	// How long answers are used matters only where the DNS has changed or failed
	// meanwhile. What names answer is taken to be what they have answered.
	{"dns.cache_size", 'z', true, func(c *config.Config) shapeValue { return numbered(int64(c.DNS.CacheSize)) }, failedLookup},
	{"dns.min_ttl", 'w', true, func(c *config.Config) shapeValue { return span(c.DNS.MinTTL) }, failedLookup},
	{"dns.max_ttl", 'x', true, func(c *config.Config) shapeValue { return span(c.DNS.MaxTTL) }, failedLookup},
	{"dns.max_negative_ttl", 'y', true, func(c *config.Config) shapeValue { return span(c.DNS.MaxNegativeTTL) }, failedLookup},
	// What is deleted is no history when the daemon starts again.
	{"store.retention", 'k', true, func(c *config.Config) shapeValue { return numbered(historyDays(c.Store.Retention)) }, anyHistory},
}

// shapeRevision begins each shape. It is raised when the default of a shaping
// key changes: shapes leave defaults out, and those before it are then not
// known.
const shapeRevision = "1"

// shapeHash is how many characters stand for a text: 24 bits.
const shapeHash = 4

func hashed(text string) shapeValue {
	sum := sha256.Sum256([]byte(text))
	return shapeValue{text: base64.RawURLEncoding.EncodeToString(sum[:])[:shapeHash]}
}

// numbered is a number, in a form that has no dot.
func numbered(n int64) shapeValue { return shapeValue{strconv.FormatInt(n, 36), n} }

func span(d config.Duration) shapeValue { return numbered(int64(d.Std() / time.Millisecond)) }

func relayNetworks(c *config.Config) shapeValue {
	var all strings.Builder
	for _, r := range c.TrustedRelays {
		fmt.Fprintln(&all, r.Networks)
	}
	return hashed(all.String())
}

func relayInner(c *config.Config) shapeValue {
	var all strings.Builder
	for _, r := range c.TrustedRelays {
		fmt.Fprintln(&all, r.Inner)
	}
	return hashed(all.String())
}

// ofListeners joins what is said of each listener, but for nothing.
func ofListeners(c *config.Config, f func(config.Listener) string) string {
	var all strings.Builder
	for _, l := range c.Listeners {
		if text := f(l); text != "" {
			fmt.Fprintf(&all, "%q %q\n", l.Name, text)
		}
	}
	return all.String()
}

func relayNames(c *config.Config) shapeValue {
	var all strings.Builder
	for _, r := range c.TrustedRelays {
		fmt.Fprintf(&all, "%q\n", r.Names)
	}
	return hashed(all.String())
}

// historyDays is how many days of history a retention leaves.
func historyDays(retention config.Duration) int64 {
	days := int64(retention.Std() / (24 * time.Hour))
	if days == 0 || days > policy.HistoryDays {
		return policy.HistoryDays
	}
	return days
}

// defaultShape are the values of a file that sets nothing.
var defaultShape = func() map[string]shapeValue {
	c := config.Default()
	c.Sampling.SecretFile = c.StateDir + "/sampling.key" // as Load derives it
	values := make(map[string]shapeValue, len(shapingKeys))
	for _, k := range shapingKeys {
		values[k.key] = k.value(&c)
	}
	return values
}()

// shapeOf is results.Row.Shape under a configuration: the revision, and then for
// each shaping key that is not at its default its code, its value and a dot.
// What a restart alone changes is as started has it; nil is cfg itself.
func shapeOf(cfg, started *config.Config) string {
	var b strings.Builder
	b.WriteString(shapeRevision)
	for _, k := range shapingKeys {
		from := cfg
		if k.restart && started != nil {
			from = started
		}
		if v := k.value(from); v != defaultShape[k.key] {
			b.WriteByte(k.code)
			b.WriteString(v.text + ".")
		}
	}
	return b.String()
}

// parseShape reads the values that are not at their defaults, by code. known is
// false for a shape that this program cannot read.
func parseShape(shape string) (values map[byte]shapeValue, known bool) {
	rest, ok := strings.CutPrefix(shape, shapeRevision)
	if !ok {
		return nil, false
	}
	values = make(map[byte]shapeValue)
	for rest != "" {
		part, after, ok := strings.Cut(rest, ".")
		if !ok || len(part) < 2 {
			return nil, false
		}
		n, err := strconv.ParseInt(part[1:], 36, 64)
		if err != nil {
			n = 0 // a hash: its number is not looked at
		}
		values[part[0]], rest = shapeValue{part[1:], n}, after
	}
	return values, true
}

// changedKey is a shaping key whose value is not that which a row was made under.
type changedKey struct {
	*shapingKey
	was, now shapeValue
}

// changedKeys compares two shapes. known is false when they cannot be compared.
func changedKeys(was, now string) (changed []changedKey, known bool) {
	if was == now {
		return nil, true
	}
	old, known := parseShape(was)
	if !known {
		return nil, false
	}
	current, _ := parseShape(now)
	for i := range shapingKeys {
		k := &shapingKeys[i]
		value := func(in map[byte]shapeValue) shapeValue {
			v, set := in[k.code]
			delete(in, k.code)
			if !set {
				return defaultShape[k.key]
			}
			return v
		}
		if a, b := value(old), value(current); a.text != b.text {
			changed = append(changed, changedKey{k, a, b})
		}
	}
	return changed, len(old) == 0 // else: keys of a newer program
}

// anyRelay: which client a message has is the business of origin.
func anyRelay(*stored, shapeValue, shapeValue) reach { return untouched }

func hasAuthors(m *stored, _, _ shapeValue) reach { return wholeIf(len(m.facts.Authors) > 0) }

func anything(*stored, shapeValue, shapeValue) reach { return whole }

// partlySigned: "refuse" is the longer word, and makes "policy" of every
// signature with l=. Which ones have it is not in the facts.
func partlySigned(m *stored, was, now shapeValue) reach {
	if now.number < was.number {
		return wholeIf(m.facts.ARC.Result == "fail" || m.signature(func(s *policy.DKIM) bool { return s.Result == "policy" }))
	}
	return wholeIf(m.facts.ARC.Result == "pass" || m.signature(func(s *policy.DKIM) bool { return s.Result == "pass" || s.Result == "fail" }))
}

// longKey: the keys of seals are not in the facts.
func longKey(m *stored, was, now shapeValue) reach {
	if now.number > was.number {
		return wholeIf(m.facts.ARC.Result == "fail" || m.signature(func(s *policy.DKIM) bool { return s.Result == "policy" }))
	}
	return wholeIf(m.facts.ARC.Result == "pass" || m.signature(func(s *policy.DKIM) bool {
		return int64(s.KeyBits) > now.number || s.KeyBits == 0 && (s.Result == "pass" || s.Result == "fail")
	}))
}

// deferral: how long a sender has been deferred is counted anew after a pause
// longer than max_defer.
func deferral(m *stored, was, now shapeValue) reach {
	other := *m.facts
	other.Deferred = 0 // a pause that was none ends the counting
	if now.number > was.number {
		other.Deferred = 1<<63 - 1 // a pause that was one ends nothing
	}
	a, _ := m.try.Again(*m.facts)
	b, _ := m.try.Again(other)
	return wholeIf(!equalDecisions(&a, &b))
}

// drawn: rules with a sample and enforce_share need the seed, pct the draws.
func drawn(m *stored, _, _ shapeValue) reach {
	for i := range m.facts.Authors {
		v := &m.facts.Authors[i].Verdict
		if v.Status == dmarc.Fail && v.Policy != dmarc.None && !v.Testing && v.Pct > 0 && v.Pct < 100 && !m.try.IgnorePct {
			return whole
		}
	}
	return reach{lacks: policy.LackSeed}
}

// cutHeader: under a smaller limit more headers are cut; how long they are is
// not in the facts.
func cutHeader(m *stored, was, now shapeValue) reach {
	return wholeIf(now.number < was.number || m.facts.HeaderTruncated)
}

// waiting: who waits longer gets the answers that came, and perhaps others.
func waiting(m *stored, was, now shapeValue) reach {
	if now.number < was.number {
		return whole
	}
	return failedLookup(m, was, now)
}

// remembering is the opposite: a failure or an old answer that counts for longer
// can stand in the place of a new one.
func remembering(m *stored, was, now shapeValue) reach {
	if now.number > was.number {
		return whole
	}
	return failedLookup(m, was, now)
}

// failedLookup: a lookup has failed, or was answered from what was old.
func failedLookup(m *stored, _, _ shapeValue) reach {
	f := m.facts
	failed := f.Stale || f.SPF.Result == "temperror" || f.HELO.Result == "temperror" || f.ARC.Result == "fail" || len(f.Pressed) > 0 ||
		m.signature(func(s *policy.DKIM) bool { return s.Result == "temperror" })
	for i := range f.Authors {
		a := &f.Authors[i]
		failed = failed || a.Verdict.Status == dmarc.TempError || policy.EvidenceMatters(a.Verdict) && !a.Standing.Asked
	}
	return wholeIf(failed)
}

func anyHistory(m *stored, _, _ shapeValue) reach {
	for i := range m.facts.Authors {
		if m.facts.Authors[i].Verdict.Status != dmarc.Pass {
			return whole
		}
	}
	return untouched
}

func (m *stored) signature(is func(*policy.DKIM) bool) bool {
	for i := range m.facts.DKIM {
		if is(&m.facts.DKIM[i]) {
			return true
		}
	}
	return false
}
