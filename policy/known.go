package policy

import (
	"errors"
	"fmt"
	"net/netip"

	"dmarcgate/policy/pattern"
)

// TrustedForwarders is whom the site knows by name. The zero value is nobody.
type TrustedForwarders struct {
	Sealers  []string         // d= of ARC seals, lower-case A-labels: they forward what they received, and record it truly
	Networks []netip.Prefix   // clients that are lists or forwarders
	Domains  []pattern.Domain // the same by the domain for which SPF or DKIM passes
}

// ParseSealer reads the domain of a sealer, in ASCII and any letter case.
// CheckSealers says which of them cannot be trusted. The error is a Fault
// without a key.
func ParseSealer(s string) (string, error) {
	p, err := pattern.ParseDomain(s)
	switch {
	case err != nil:
		return "", withExample(err, `write the d= of a sealer, as "lists.example.org"`)
	case p.Kind() != pattern.Exact:
		return "", pattern.Fault{Text: fmt.Sprintf("%q is more than one domain", s), Fix: "write the d= of each sealer that is meant"}
	}
	return p.Name(), nil
}

// ParseForwarder reads "example.org" or ".example.org": domains for which SPF
// and DKIM can pass. CheckForwarderDomains says which of them cannot be trusted.
// The error is a Fault without a key.
func ParseForwarder(s string) (pattern.Domain, error) {
	p, err := pattern.ParseDomain(s)
	if err != nil {
		return pattern.Domain{}, withExample(err, `write "example.org", or ".example.org" for every name below it`)
	}
	if p.Kind() == pattern.Organization { // nobody looks up the one that a signer belongs to
		return pattern.Domain{}, pattern.Fault{Text: fmt.Sprintf("%q is for rules alone", s), Fix: fmt.Sprintf("write %q and %q", p.Name(), "."+p.Name())}
	}
	return p, nil
}

// withExample puts an example into a fault that shows what is not allowed here.
func withExample(err error, fix string) error {
	var f pattern.Fault
	if errors.As(err, &f) && f.Fix == pattern.Examples {
		f.Fix = fix
		return f
	}
	return err
}
