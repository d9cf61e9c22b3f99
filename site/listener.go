package site

import (
	"strings"

	"dmarcgate/config"
	"dmarcgate/term"
)

// Listener returns the listener of a configuration that has a name; the first one
// for "". A name that is not there is an error of the command line.
func Listener(cfg *config.Config, name string) (config.Listener, error) {
	if name == "" {
		return cfg.Listeners[0], nil
	}
	var names []string
	for _, l := range cfg.Listeners {
		if l.Name == name {
			return l, nil
		}
		names = append(names, l.Name)
	}
	return config.Listener{}, term.Usagef("--listener: the configuration has no listener %q; it has %s", name, strings.Join(names, ", "))
}
