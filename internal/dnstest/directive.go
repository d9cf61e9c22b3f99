package dnstest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// action is what a directive does to a query.
type action uint8

const (
	servfail action = iota + 1
	refuse
	drop
	slow
	truncate
	lie
	noise
	broken
	bogus
	ad
	garbage
	loop
	elsewhere
	notcp
	pressure
)

var actions = map[string]action{
	"servfail": servfail, "refuse": refuse, "drop": drop, "slow": slow,
	"truncate": truncate, "lie": lie, "noise": noise, "broken": broken,
	"bogus": bogus, "ad": ad, "garbage": garbage, "loop": loop, "elsewhere": elsewhere, "notcp": notcp, "pressure": pressure,
}

// rule is a directive with a name.
type rule struct {
	action action
	name   string
	below  bool   // every name below name, instead of name
	qtype  uint16 // 0 = all
	delay  time.Duration
}

func (r rule) matches(name string, qtype uint16) bool {
	if r.qtype != 0 && r.qtype != qtype {
		return false
	}
	if r.below {
		return name != r.name && dns.IsSubDomain(r.name, name)
	}
	return name == r.name
}

// rule returns the first directive of that action for a query.
func (d *data) rule(a action, name string, qtype uint16) (rule, bool) {
	for _, r := range d.rules {
		if r.action == a && r.matches(name, qtype) {
			return r, true
		}
	}
	return rule{}, false
}

func (d *data) has(a action, name string, qtype uint16) bool {
	_, ok := d.rule(a, name, qtype)
	return ok
}

func (d *data) hasAny(name string, qtype uint16, actions ...action) bool {
	return slices.ContainsFunc(actions, func(a action) bool { return d.has(a, name, qtype) })
}

// latency returns how long the answer to a query takes.
func (d *data) latency(name string, qtype uint16) time.Duration {
	if r, ok := d.rule(slow, name, qtype); ok {
		return r.delay
	}
	return d.delay
}

func (d *data) directive(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("no directive after \"!\"")
	}
	if a, ok := actions[words[0]]; ok {
		return d.named(a, words)
	}
	flags := map[string]*bool{"nosoa": &d.noSOA, "noedns": &d.noEDNS, "down": &d.down, "any": &d.any}
	if flag, ok := flags[words[0]]; ok && len(words) == 1 {
		*flag = true
		return nil
	}
	if words[0] == "negttl" && len(words) == 2 {
		n, err := strconv.ParseUint(words[1], 10, 31)
		d.negativeTTL = uint32(n)
		return err
	}
	if words[0] == "delay" && len(words) == 2 {
		var err error
		d.delay, err = time.ParseDuration(words[1])
		return err
	}
	return fmt.Errorf("bad directive !%s", strings.Join(words, " "))
}

// named reads a directive with a name.
func (d *data) named(a action, words []string) error {
	if len(words) < 2 || len(words) > 3 || a == slow && len(words) != 3 {
		return fmt.Errorf("!%s with %d words after it", words[0], len(words)-1)
	}
	name, below := strings.CutPrefix(words[1], "*.")
	r := rule{action: a, name: canonical(name), below: below}
	var err error
	switch {
	case a == slow:
		r.delay, err = time.ParseDuration(words[2])
	case len(words) == 3:
		r.qtype = dns.StringToType[strings.ToUpper(words[2])]
		if r.qtype == 0 {
			err = fmt.Errorf("!%s with unknown type %q", words[0], words[2])
		}
	}
	d.rules = append(d.rules, r)
	d.expect(r.name)
	return err
}
