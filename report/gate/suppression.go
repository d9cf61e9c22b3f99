package gate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dmarcgate/message"
	"dmarcgate/policy/pattern"
)

// Kind says what a suppression holds back.
type Kind string

// The kinds. A suppression is written as kind and subject: "host:example.org".
const (
	KindAddress Kind = "addr"   // mail to one address
	KindHost    Kind = "host"   // mail to addresses at a host, or below it
	KindDomain  Kind = "domain" // reports about a policy domain, or one below it
)

// Key is a suppression without its end: two with equal keys are the same.
type Key struct {
	Kind Kind
	What string // a canonical address (Destination.Key) or a domain in lower-case A-labels
}

// String returns the form that ParseKey reads.
func (k Key) String() string { return string(k.Kind) + ":" + k.What }

// ParseKey reads "addr:reports@example.org", "host:example.org" or
// "domain:example.org". A bare domain is an error, because what is meant would
// be a guess.
func ParseKey(s string) (Key, error) {
	kind, what, ok := strings.Cut(s, ":")
	switch k := Kind(kind); {
	case !ok:
	case k == KindAddress:
		if addr, host := canonical(what); host != "" {
			return Key{k, strings.ToLower(addr)}, nil
		}
		return Key{}, fmt.Errorf("%q is not a mail address", what)
	case k == KindHost || k == KindDomain:
		domain, err := message.ParseDomain(what)
		if err != nil {
			return Key{}, fmt.Errorf("%q is not a domain: %w", what, err)
		}
		return Key{k, domain}, nil
	}
	return Key{}, fmt.Errorf("%q is not a suppression: write addr:ADDRESS, host:DOMAIN or domain:DOMAIN", s)
}

// Suppression holds reports back. Until is its end; zero is until a person
// lifts it.
type Suppression struct {
	Key
	Until time.Time
}

// active reports whether the suppression has not ended.
func (s Suppression) active(now time.Time) bool { return s.Until.IsZero() || now.Before(s.Until) }

// anyActive reports whether one of the suppressions is under one of the keys and
// has not ended.
func anyActive(list []Suppression, keys []Key, now time.Time) bool {
	return slices.ContainsFunc(list, func(s Suppression) bool { return s.active(now) && slices.Contains(keys, s.Key) })
}

// Keys returns the keys under which a suppression of a report about a policy
// domain can be: the domain and the names above it.
func (r Report) Keys() []Key { return domainKeys(r.PolicyDomain) }

func domainKeys(domain string) []Key { return keysAbove(KindDomain, domain) }

// keysAbove returns keys for a domain and the names above it, at most 127.
func keysAbove(kind Kind, domain string) []Key {
	keys := []Key{{kind, domain}}
	for name := range pattern.Above(domain) {
		keys = append(keys, Key{kind, name})
	}
	return keys
}

// Keys returns the keys under which a suppression of a mail to the destination
// about a policy domain can be.
func (d Destination) Keys(policyDomain string) []Key {
	keys := append([]Key{{KindAddress, d.Key}}, keysAbove(KindHost, d.Host)...)
	return append(keys, domainKeys(policyDomain)...)
}
