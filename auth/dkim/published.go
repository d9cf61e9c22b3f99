package dkim

import (
	"context"

	"dmarcgate/message"
)

// Published is a key record as its owner publishes it, for those who look at
// keys without a message.
type Published struct {
	Kind    string // "rsa" or "ed25519", or as published, in lower case: foreign text
	Bits    int    // size of the key, 0 when it cannot be read
	Testing bool   // t=y
	Strict  bool   // t=s: no signature with an i= below the domain
	Why     string // why no signature can use the key; empty when one can
}

// KeyName returns the name of the key record of a selector, in A-labels.
func KeyName(selector, domain string) (string, error) {
	return message.ParseDomain(selector + "._domainkey." + domain)
}

// Keys returns the key records at a name: those that a signature is tried with,
// at most maxKeys. Without one, why says what keeps signatures from verifying.
// Every error is a temporary failure of the DNS.
func Keys(ctx context.Context, r Resolver, name string) (keys []Published, why string, err error) {
	found, err := lookUp(ctx, r, name)
	if err != nil && !isStale(err) {
		return nil, "", err
	}
	for _, k := range found.records {
		p := Published{Kind: k.kind, Bits: k.bits, Testing: k.testing, Strict: k.strict, Why: k.refused.why}
		if p.Why == "" {
			p.Why = k.unusable.why
		}
		keys = append(keys, p)
	}
	return keys, found.refused.why, nil
}
