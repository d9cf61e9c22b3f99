package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"dmarcgate/auth"
	"dmarcgate/auth/dkim"
	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/enforce"
	"dmarcgate/policy"
)

// inputs is everything that is read from files, checked and ready to use.
type inputs struct {
	cfg      *config.Config
	rules    policy.Rules
	set      *config.RuleSet // of rules, with what is to be said about them; nil without rules_dir
	suffixes dmarc.Suffixes  // nil with discovery by tree walk
	list     dmarc.Suffixes  // the same, also when it only serves to compare
	started  *config.Config  // of the start of the daemon, whose values need a restart to change; nil is cfg

	host []config.Problem // warnings of checkHost, which only check-config has
}

// readInputs reads the configuration, the rules and the suffix list. On an
// error nothing has changed.
func readInputs(path string) (in inputs, err error) {
	if in.cfg, err = config.Load(path); err != nil {
		return inputs{}, err
	}
	return withFiles(in.cfg)
}

// withFiles adds what the configuration refers to.
func withFiles(cfg *config.Config) (in inputs, err error) {
	in.cfg = cfg
	if cfg.Store.Postgres.URL != "" {
		if err := pgConfig(cfg).Check(); err != nil {
			return inputs{}, fmt.Errorf("store.postgres.url: %w", err)
		}
	}
	if cfg.RulesDir != "" {
		if in.set, err = loadRules(cfg, cfg.RulesDir, ruleOptions(cfg)); err != nil {
			return inputs{}, err
		}
		in.rules = in.set.Rules
	}
	return in.withSuffixes()
}

// withSuffixes adds the suffix list.
func (in inputs) withSuffixes() (_ inputs, err error) {
	d := in.cfg.Discovery
	if d.Method == "psl" || d.Compare {
		if in.list, err = suffixList(d.PSLFile); err != nil {
			return inputs{}, err
		}
	}
	if d.Method == "psl" {
		in.suffixes = in.list
	}
	return in, nil
}

// loadRules reads the rules of a directory. One that is not there is a fault of
// the line or of the flag that names it.
func loadRules(cfg *config.Config, dir string, opts config.RuleOptions) (*config.RuleSet, error) {
	set, err := config.LoadRules(dir, opts)
	if !errors.Is(err, fs.ErrNotExist) {
		return set, err
	}
	if _, statErr := os.Stat(dir); statErr == nil { // a file that a rule names
		return nil, err
	}
	if cfg == nil || dir != cfg.RulesDir {
		return nil, usagef("--dir: there is no directory %s", dir)
	}
	return nil, cfg.Problem("rules_dir", "there is no directory "+dir, "make it, or take the line out")
}

// suffixList is the list in a file, which is read again when it changes, or the
// one built in.
func suffixList(path string) (dmarc.Suffixes, error) {
	if path == "" {
		return dmarc.PublicSuffix(), nil
	}
	return dmarc.OpenSuffixes(path, time.Now, func(err error) {
		if err != nil {
			slog.Warn("the changed public suffix list cannot be used; the old one stays in force", "file", path, "err", err)
			return
		}
		slog.Info("the public suffix list was read again", "file", path)
	})
}

// snapshot makes what the messages of one listener are handled by. view
// chooses how a purpose sees the resolver.
func (in inputs) snapshot(l config.Listener, sampler policy.Sampler, view func(dnscache.Purpose) dnscache.View) *enforce.Snapshot {
	return &enforce.Snapshot{Settings: in.settings(l, sampler), Checker: in.checker(view)}
}

func (in inputs) checker(view func(dnscache.Purpose) dnscache.View) *auth.Checker {
	finder := &dmarc.Finder{Resolver: view(dnscache.DMARC), Method: dmarc.TreeWalk}
	if in.suffixes != nil {
		finder.Method, finder.Suffixes = dmarc.PSL, in.suffixes
	}
	var other *dmarc.Finder
	if in.cfg.Discovery.Compare {
		other = in.otherFinder(view(dnscache.DMARC))
	}
	return &auth.Checker{
		Other: other,
		SPF:   view(dnscache.SPF), DKIM: view(dnscache.DKIM), Finder: finder, Budget: in.cfg.Limits.MessageBudget.Std(),
		BodyLength: bodyLength(in.cfg.DKIM.BodyLength), MaxKeyBits: in.cfg.DKIM.MaxKeyBits,
		AllChains: in.cfg.ARC.Check == "all",
		Charge:    func(client netip.Addr) func(auth.Class) auth.Memory { return charged(view, client) },
		Memory:    func() auth.Memory { return remembered(view) },
	}
}

// charged is the resolver for one message: what it asks is charged to the
// message and its client, so that a message that asks for much takes no other's
// share.
func charged(view func(dnscache.Purpose) dnscache.View, client netip.Addr) func(auth.Class) auth.Memory {
	account := dnscache.NewAccount(client)
	return func(c auth.Class) auth.Memory {
		class := dnscache.Other
		if c == auth.OfAuthor {
			class = dnscache.Author
		}
		of := func(p dnscache.Purpose) dnscache.View { return view(p).Charged(account, class) }
		return auth.Memory{SPF: of(dnscache.SPF), DKIM: of(dnscache.DKIM), DMARC: of(dnscache.DMARC)}
	}
}

// otherFinder finds by the method that the configuration does not choose.
func (in inputs) otherFinder(dns dmarc.Resolver) *dmarc.Finder {
	if in.suffixes == nil {
		return &dmarc.Finder{Resolver: dns, Method: dmarc.PSL, Suffixes: in.list}
	}
	return &dmarc.Finder{Resolver: dns, Method: dmarc.TreeWalk}
}

// remembered is the resolver as far as its cache goes.
func remembered(view func(dnscache.Purpose) dnscache.View) auth.Memory {
	s, spfDone := view(dnscache.SPF).Remembered()
	k, dkimDone := view(dnscache.DKIM).Remembered()
	d, dmarcDone := view(dnscache.DMARC).Remembered()
	return auth.Memory{SPF: s, DKIM: k, DMARC: d, Complete: func() bool {
		known := true
		for _, done := range []func() bool{spfDone, dkimDone, dmarcDone} {
			known = done() && known
		}
		return known
	}}
}

// settings puts the configuration of one listener into the words of the rooms.
func (in inputs) settings(l config.Listener, sampler policy.Sampler) enforce.Settings {
	decide := in.policy(l)
	s := enforce.Settings{
		Policy: decide, PolicySum: decide.Sum(), Shape: shapeOf(in.cfg, in.started), Sampler: sampler, Trusted: l.TrustedNetworks,
		AuthservID: l.AuthservID, AuthservIDs: ownIDs(in.cfg), HostName: in.cfg.HostName(), TrustMTAName: l.TrustMTAName,
		TagField: in.cfg.Header.Tag, RemoveBIMI: in.cfg.Header.RemoveBIMI,
		Reply: enforce.Reply{Reject: in.cfg.Reply.Reject, Tempfail: in.cfg.Reply.TempFail, NoAuthor: in.cfg.Reply.NoAuthor, Help: in.cfg.Reply.Help},
	}
	for _, r := range in.cfg.TrustedRelays {
		s.Relays = append(s.Relays, enforce.Relay{Networks: r.Networks, Inner: r.Inner, Names: r.Names})
	}
	return s
}

// ownIDs returns the ids that only we may write, each once: they are compared
// with every field.
func ownIDs(cfg *config.Config) []string {
	ids := cfg.OwnIDs()
	for i, id := range ids {
		ids[i] = strings.ToLower(id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// policy is what decides the messages of one listener.
func (in inputs) policy(l config.Listener) policy.Settings {
	t := in.cfg.TempError
	s := policy.Settings{
		Profile:     l.Profile,
		Observed:    100 - l.EnforceShare,
		Quarantine:  l.Quarantine,
		IgnorePct:   in.cfg.Discovery.Pct == "ignore",
		TempOurs:    t.Ours.Action(),
		TempDomain:  t.Domain.Action(),
		TempUnknown: t.UnknownClient,
		MaxDefer:    t.MaxDefer.Std(),
		From:        in.cfg.From,
		Known: policy.Known{
			Sealers: in.cfg.Conformant.TrustedSealers, Networks: in.cfg.Conformant.ForwarderNetworks, Domains: in.cfg.Conformant.ForwarderDomains,
		},
		Rules: in.rules,
	}
	if t.Domain == policy.TempQuarantine {
		s.MaxDefer = 0 // as after the time of waiting
	}
	return s
}

// bodyLength says what a signature over a part of the body is worth. Whatever is
// not the word for more refuses it.
func bodyLength(word string) dkim.BodyLength {
	if word == "whole" {
		return dkim.AcceptWhole
	}
	return dkim.Refuse
}

// needRestart lists the settings that differ and that a reload cannot change.
func needRestart(old, new *config.Config) []string {
	var keys []string
	note := func(key string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			keys = append(keys, key)
		}
	}
	note("state_dir", old.StateDir, new.StateDir)
	note("user", old.User, new.User)
	note("dns", fixedDNS(old.DNS), fixedDNS(new.DNS))
	note("store", fixedStore(old.Store), fixedStore(new.Store))
	note("privacy", old.Privacy, new.Privacy)
	note("sampling", old.Sampling, new.Sampling)
	note("admin", old.Admin, new.Admin)
	note("log.format", old.Log.Format, new.Log.Format)
	note("limits", fixedLimits(old.Limits), fixedLimits(new.Limits))
	note("listener", sockets(old), sockets(new))
	return keys
}

// fixedDNS is [dns] without what a reload changes.
func fixedDNS(d config.DNS) config.DNS {
	d.Servers, d.Trusted = nil, nil
	return d
}

// fixedStore is [store] without what a reload changes. Whether there is a
// PostgreSQL at all is for a restart: what the store may delete depends on it.
func fixedStore(s config.Store) config.Store {
	url := ""
	if s.Postgres.URL != "" {
		url = "set"
	}
	s.Postgres = config.Postgres{URL: url}
	return s
}

// fixedLimits are the limits without those that a reload changes.
func fixedLimits(l config.Limits) config.Limits {
	l.MessageBudget, l.DrainTimeout = 0, 0
	return l
}

// sockets are the listeners without what a reload changes.
func sockets(c *config.Config) []config.Listener {
	out := make([]config.Listener, len(c.Listeners))
	for i, l := range c.Listeners {
		out[i] = config.Listener{Name: l.Name, Address: l.Address, SocketMode: l.SocketMode, SocketOwner: l.SocketOwner}
	}
	slices.SortFunc(out, func(a, b config.Listener) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
