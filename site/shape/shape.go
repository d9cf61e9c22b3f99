// Package shape says which keys of the configuration can give other facts of the same
// message, and which of them differ between two configurations: who decides stored
// messages again compares the shape of their rows with the present one.
package shape

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

// shapingKey is a key of the configuration that can make other facts of the same
// message: who decides a stored message again looks whether one has changed.
type shapingKey struct {
	key string
	// code stands for the key in results.Row.Shape. It is never given to another
	// key, also when its own is gone.
	code byte
	// restart says that a reload does not change the value that the daemon uses.
	restart bool
	// value is what is compared: a number, or any other text by its hash.
	value func(*config.Config) Value
}

// shapingKeys are in the order in which they are named to the reader.
var shapingKeys = []shapingKey{
	{"trusted_relay.networks", 'r', false, relayNetworks},
	{"trusted_relay.names", 'n', false, relayNames},
	{"trusted_relay.inner_networks", 'N', false, relayInner},
	{"authserv_id", 'A', false, func(c *config.Config) Value { return hashed(c.AuthservID) }},
	{"authserv_ids_also", 'B', false, func(c *config.Config) Value { return hashed(strings.Join(c.AuthservIDsAlso, " ")) }},
	{"listener.authserv_id", 'C', false, func(c *config.Config) Value {
		return hashed(ofListeners(c, func(l config.Listener) string {
			if l.AuthservID == c.AuthservID {
				return ""
			}
			return l.AuthservID
		}))
	}},
	{"listener.trust_mta_name", 'D', false, func(c *config.Config) Value {
		return hashed(ofListeners(c, func(l config.Listener) string {
			if l.TrustMTAName {
				return "yes"
			}
			return ""
		}))
	}},
	{"header.remove_bimi", 'j', false, func(c *config.Config) Value { return zeroOrOne(c.Header.RemoveBIMI) }},
	{"discovery.method", 'm', false, func(c *config.Config) Value { return hashed(c.Discovery.Method) }},
	{"discovery.psl_file", 'p', false, func(c *config.Config) Value {
		if c.Discovery.Method != "psl" {
			return hashed("")
		}
		return hashed(c.Discovery.PSLFile)
	}},
	{"dkim.body_length", 'l', false, func(c *config.Config) Value { return numbered(int64(len(c.DKIM.BodyLength))) }},
	{"dkim.max_key_bits", 'b', false, func(c *config.Config) Value { return numbered(int64(c.DKIM.MaxKeyBits)) }},
	{"temperror.max_defer", 'd', false, func(c *config.Config) Value { return span(c.TempError.MaxDefer) }},
	{"sampling.secret_file", 's', true, func(c *config.Config) Value { return hashed(c.Sampling.SecretFile) }},
	{"limits.header_fields", 'f', true, func(c *config.Config) Value { return numbered(int64(c.Limits.HeaderFields)) }},
	{"limits.header_bytes", 'h', true, func(c *config.Config) Value { return numbered(int64(c.Limits.HeaderBytes)) }},
	{"limits.header_memory", 'H', true, func(c *config.Config) Value { return numbered(int64(c.Limits.HeaderMemory)) }},
	{"limits.recipients", 'c', true, func(c *config.Config) Value { return numbered(int64(c.Limits.Recipients)) }},
	{"limits.message_budget", 'u', false, func(c *config.Config) Value { return span(c.Limits.MessageBudget) }},
	{"dns.servers", 'v', false, func(c *config.Config) Value { return hashed(strings.Join(c.DNS.Servers, " ")) }},
	{"dns.query_timeout", 'q', true, func(c *config.Config) Value { return span(c.DNS.QueryTimeout) }},
	{"dns.timeout", 't', true, func(c *config.Config) Value { return span(c.DNS.Timeout) }},
	{"dns.max_in_flight", 'i', true, func(c *config.Config) Value { return numbered(int64(c.DNS.MaxInFlight)) }},
	{"dns.failure_ttl", 'e', true, func(c *config.Config) Value { return span(c.DNS.FailureTTL) }},
	{"dns.stale_after", 'a', true, func(c *config.Config) Value { return span(c.DNS.StaleAfter) }},
	{"dns.stale_ttl", 'o', true, func(c *config.Config) Value { return span(c.DNS.StaleTTL) }},
	{"dns.stale_negative_ttl", 'O', true, func(c *config.Config) Value { return span(c.DNS.StaleNegTTL) }},
	{"dns.cache_size", 'z', true, func(c *config.Config) Value { return numbered(int64(c.DNS.CacheSize)) }},
	{"dns.min_ttl", 'w', true, func(c *config.Config) Value { return span(c.DNS.MinTTL) }},
	{"dns.max_ttl", 'x', true, func(c *config.Config) Value { return span(c.DNS.MaxTTL) }},
	{"dns.max_negative_ttl", 'y', true, func(c *config.Config) Value { return span(c.DNS.MaxNegativeTTL) }},
	{"store.retention", 'k', true, func(c *config.Config) Value { return numbered(historyDays(c.Store.Retention)) }},
}

// Keys are the keys of the configuration that can make other facts of
// the same message, in the order in which a reader is told of them.
func Keys() []string {
	names := make([]string, len(shapingKeys))
	for i, k := range shapingKeys {
		names[i] = k.key
	}
	return names
}

// shapeRevision begins each shape. It is raised when the default of a shaping
// key changes: shapes leave defaults out, and those before it are then not
// known.
const shapeRevision = "1"

// shapeHash is how many characters stand for a text: 24 bits.
const shapeHash = 4

// defaultShape are the values of a file that sets nothing.
var defaultShape = func() map[string]Value {
	c := config.Default()
	c.Sampling.SecretFile = c.StateDir + "/sampling.key" // as Load derives it
	values := make(map[string]Value, len(shapingKeys))
	for _, k := range shapingKeys {
		values[k.key] = k.value(&c)
	}
	return values
}()

// ChangedKey is a shaping key whose value is not that which a row was made under.
type ChangedKey struct {
	Key      string // as in the configuration file
	Was, Now Value
}

func zeroOrOne(v bool) Value {
	if v {
		return numbered(1)
	}
	return numbered(0)
}

// Value is a value in the form in which rows have it: number is what it
// says when the key is one, so that the smaller of two is known.
type Value struct {
	text   string
	Number int64
}

func hashed(text string) Value {
	sum := sha256.Sum256([]byte(text))
	return Value{text: base64.RawURLEncoding.EncodeToString(sum[:])[:shapeHash]}
}

// numbered is a number, in a form that has no dot.
func numbered(n int64) Value { return Value{strconv.FormatInt(n, 36), n} }

func span(d config.Duration) Value { return numbered(int64(d.Std() / time.Millisecond)) }

func relayNetworks(c *config.Config) Value {
	var all strings.Builder
	for _, r := range c.TrustedRelays {
		fmt.Fprintln(&all, r.Networks)
	}
	return hashed(all.String())
}

func relayInner(c *config.Config) Value {
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

func relayNames(c *config.Config) Value {
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

// Shape is results.Row.Shape under a configuration: the revision, and then for
// each shaping key that is not at its default its code, its value and a dot.
// What a restart alone changes is as started has it; nil is cfg itself.
func Of(cfg, started *config.Config) string {
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

// parse reads the values that are not at their defaults, by code. known is
// false for a shape that this program cannot read.
func parse(shape string) (values map[byte]Value, known bool) {
	rest, ok := strings.CutPrefix(shape, shapeRevision)
	if !ok {
		return nil, false
	}
	values = make(map[byte]Value)
	for rest != "" {
		part, after, ok := strings.Cut(rest, ".")
		if !ok || len(part) < 2 {
			return nil, false
		}
		n, err := strconv.ParseInt(part[1:], 36, 64)
		if err != nil {
			n = 0 // a hash: its number is not looked at
		}
		values[part[0]], rest = Value{part[1:], n}, after
	}
	return values, true
}

// Discovery returns the method by which the records of rows with a shape were found,
// treewalk or psl; "" when the shape does not tell.
func Discovery(shape string) string {
	values, known := parse(shape)
	if !known {
		return ""
	}
	for _, k := range shapingKeys {
		if k.key != "discovery.method" {
			continue
		}
		v, set := values[k.code]
		if !set {
			v = defaultShape[k.key]
		}
		for _, method := range []string{dmarc.TreeWalk.String(), dmarc.PSL.String()} {
			if hashed(method).text == v.text {
				return method
			}
		}
	}
	return ""
}

// ChangedKeys compares two shapes. known is false when they cannot be compared.
func ChangedKeys(was, now string) (changed []ChangedKey, known bool) {
	if was == now {
		return nil, true
	}
	old, known := parse(was)
	if !known {
		return nil, false
	}
	current, _ := parse(now)
	for i := range shapingKeys {
		k := &shapingKeys[i]
		value := func(in map[byte]Value) Value {
			v, set := in[k.code]
			delete(in, k.code)
			if !set {
				return defaultShape[k.key]
			}
			return v
		}
		if a, b := value(old), value(current); a.text != b.text {
			changed = append(changed, ChangedKey{k.key, a, b})
		}
	}
	return changed, len(old) == 0 // else: keys of a newer program
}
