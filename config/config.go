// Package config reads the configuration file: its fields, defaults and ranges,
// and where a value is wrong. It says nothing about what the settings do;
// deploy/dmarcgate.toml, which a test compares with this package, tells the
// operator.
//
// The file is TOML 1.0. Keys are lower case and matched exactly. Durations and
// sizes are texts with a unit ("20s", "64MiB"); a bare number is refused,
// because its unit would be a guess. All problems of a file are reported
// together, each with line, key, cause and fix.
//
// It is not for secrets (the file names their files), for override rules
// (config/rulefile reads them), or for anything that needs the network: a
// configuration can be checked on any host.
//
// Limits: a file has at most tomlfile.MaxFile bytes, 1 MiB.
//
// Failures: Load and Parse return either a complete Config or an error, never
// both. A caller that reloads keeps the Config it has when Load fails.
package config

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
)

// Config is one configuration file with every default filled in. It is not
// changed after Load; a reload makes another one.
type Config struct {
	AuthservID      string   // our name in Authentication-Results (RFC 8601, Section 2.5); "" is what the MTA calls itself
	AuthservIDsAlso []string // further names whose Authentication-Results are forgeries when they arrive from outside
	StateDir        string   // absolute; holds the result store and the keys
	RulesDir        string   // absolute; the override rules, "" is none
	User            string   // "user" or "user:group" to become once the sockets are open; "" is whoever starts the daemon

	Listeners     []Listener // at least one
	TrustedRelays []TrustedRelay

	DKIM       DKIM
	ARC        ARC
	Discovery  Discovery
	TempError  TempError
	From       policy.FromAnswers
	Conformant Conformant
	DNS        DNS
	Limits     Limits
	Store      Store
	Privacy    Privacy
	Sampling   Sampling
	Reports    Reports
	Reply      Reply
	Header     Header
	Admin      Admin
	Pages      Pages
	Log        Log

	warnings []tomlfile.Problem
	host     hostNames
	source   tomlfile.Places // of the file; zero without one
	written  map[string]any  // its values by path, see Changes
}

// Problem is what is found wrong with the value of a key after Load: something
// that only the host knows, such as a directory that is not there.
func (c *Config) Problem(key, text, fix string) *tomlfile.Errors {
	return &tomlfile.Errors{Problems: []tomlfile.Problem{c.problem(key, text, fix)}}
}

// ListenerProblem is Problem of a key of the listener at a position.
func (c *Config) ListenerProblem(i int, key, text, fix string) *tomlfile.Errors {
	return &tomlfile.Errors{Problems: []tomlfile.Problem{c.problem(tomlfile.Join(tomlfile.Element("listener", i), key), text, fix)}}
}

func (c *Config) problem(path, text, fix string) tomlfile.Problem {
	return c.source.Problem(path, tomlfile.Fault{At: path, Text: text, Fix: fix})
}

// HostName returns the full name of this host, or the short one where no other
// is known.
func (c *Config) HostName() string { return c.host.full }

// OwnIDs returns every name under which results of ours may be written, or may
// have been: those of the file, and the names of this host. It may have some
// twice.
func (c *Config) OwnIDs() []string {
	ids := slices.Concat([]string{c.AuthservID}, c.AuthservIDsAlso, c.host.all)
	for _, l := range c.Listeners {
		ids = append(ids, l.AuthservID)
	}
	return slices.DeleteFunc(ids, func(id string) bool { return id == "" })
}

// Warnings returns what can be used and is perhaps not what is meant, by line.
func (c *Config) Warnings() []tomlfile.Problem { return c.warnings }

const (
	second = tomlfile.Duration(time.Second)
	minute = tomlfile.Duration(time.Minute)
	hour   = tomlfile.Duration(time.Hour)
	day    = tomlfile.Day
)

// Default returns the configuration of a file that sets nothing. It has no
// listener, so it is not complete: where MTAs connect and what is enforced for
// them is never guessed. Values that Load derives from others are empty.
func Default() Config {
	var c Config
	mailDefaults(&c)
	dnsDefaults(&c)
	serviceDefaults(&c)
	reportDefaults(&c)
	return c
}

// derive fills in the values that depend on other values or on the host.
func (c *Config) derive() error {
	if c.Store.Path == "" {
		c.Store.Path = filepath.Join(c.StateDir, "results.db")
	}
	if c.Privacy.KeyFile == "" {
		c.Privacy.KeyFile = filepath.Join(c.StateDir, "queueid.key")
	}
	if c.Sampling.SecretFile == "" {
		c.Sampling.SecretFile = filepath.Join(c.StateDir, "sampling.key")
	}
	if c.Reports.BounceDomain == "" {
		_, c.Reports.BounceDomain, _ = strings.Cut(c.Reports.Email, "@")
	}
	if c.Admin.Control == "" {
		c.Admin.Control = filepath.Join(c.StateDir, "control.sock")
	}
	for i := range c.Listeners {
		c.Listeners[i].AuthservID = cmp.Or(c.Listeners[i].AuthservID, c.AuthservID)
	}
	var err error
	if c.host, err = localNames(); err != nil && c.AuthservID == "" {
		return tomlfile.Faultf(`set it, for example authserv_id = "mx.example.org"`, "the host name cannot be used: %v", err)
	}
	return nil
}

// What a caller of this package meets of the reader of TOML files.
type (
	Problem  = tomlfile.Problem
	Errors   = tomlfile.Errors
	Duration = tomlfile.Duration
	Size     = tomlfile.Size
)
