package pattern

import (
	"errors"
	"fmt"
)

// ParseSealer reads the domain of a sealer, in ASCII and any letter case.
// CheckSealers says which of them cannot be trusted. The error is a Fault
// without a key.
func ParseSealer(s string) (string, error) {
	p, err := ParseDomain(s)
	switch {
	case err != nil:
		return "", withExample(err, `write the d= of a sealer, as "lists.example.org"`)
	case p.Kind() != Exact:
		return "", Fault{Text: fmt.Sprintf("%q is more than one domain", s), Fix: "write the d= of each sealer that is meant"}
	}
	return p.Name(), nil
}

// ParseForwarder reads "example.org" or ".example.org": domains for which SPF
// and DKIM can pass. CheckForwarderDomains says which of them cannot be trusted.
// The error is a Fault without a key.
func ParseForwarder(s string) (Domain, error) {
	p, err := ParseDomain(s)
	if err != nil {
		return Domain{}, withExample(err, `write "example.org", or ".example.org" for every name below it`)
	}
	if p.Kind() == Organization { // nobody looks up the one that a signer belongs to
		return Domain{}, Fault{Text: fmt.Sprintf("%q is for rules alone", s), Fix: fmt.Sprintf("write %q and %q", p.Name(), "."+p.Name())}
	}
	return p, nil
}

// withExample puts an example into a fault that shows what is not allowed here.
func withExample(err error, fix string) error {
	var f Fault
	if errors.As(err, &f) && f.Fix == Examples {
		f.Fix = fix
		return f
	}
	return err
}
