package config

import (
	"dmarcgate/config/tomlfile"
	"dmarcgate/policy/pattern"
)

// parseSealer reads the domain of an ARC sealer.
func parseSealer(s string) (string, error) {
	d, err := pattern.ParseSealer(s)
	return d, tomlfile.AsFault(err)
}

// parseForwarder reads a domain or a set of them.
func parseForwarder(s string) (pattern.Domain, error) {
	p, err := pattern.ParseForwarder(s)
	return p, tomlfile.AsFault(err)
}
