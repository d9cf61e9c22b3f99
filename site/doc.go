// Package site turns the configuration into the parts that the daemon and the
// commands work with: the settings of a listener, the resolver, the store, the
// rules and the public suffix list.
//
// Each command names the parts that it needs, and only those are read. A command
// that looks something up in the DNS needs no rules, so a broken rule file does
// not stop it:
//
//	s, err := site.Load(path, site.SuffixPart)
//	dns, err := site.NewResolver(s.Config, nil)
//
// Commands that work without the daemon read a broken configuration file as far
// as it can be read: see [LoadPartly].
//
// A part that cannot be used is an error, and nothing of a [Site] becomes active
// here: the caller decides. Files that are read have the limits of package config.
package site
