package config

import (
	"errors"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// asFault puts a fault that policy finds into the words of this package.
func asFault(err error) error {
	var f pattern.Fault
	if errors.As(err, &f) {
		return fault{text: f.Text, mend: f.Mend}
	}
	return err
}

// parseSealer reads the domain of an ARC sealer.
func parseSealer(s string) (string, error) {
	d, err := policy.ParseSealer(s)
	return d, asFault(err)
}

// parseForwarder reads a domain or a set of them.
func parseForwarder(s string) (pattern.Domain, error) {
	p, err := policy.ParseForwarder(s)
	return p, asFault(err)
}
