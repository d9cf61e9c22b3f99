package dnstest

import (
	"errors"
	"maps"
	"slices"
)

// Set changes records while the zone is served: the records of each name in
// the text replace all that the name had. It takes no directives. On an error
// nothing is changed.
func (z *Zone) Set(records string) error {
	d, err := parse(records)
	if err != nil {
		return err
	}
	if d.directed() {
		return errors.New("dnstest: directives are for Fault")
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	next := z.base.clone()
	next.records = maps.Clone(z.base.records)
	for name, rrs := range d.records {
		if _, ok := next.records[name]; !ok || len(rrs) > 0 {
			next.records[name] = rrs
		}
	}
	maps.Copy(next.tails, d.tails)
	z.become(next)
	return nil
}

// Fault switches directives on, before those that are there, and returns the
// function that switches them off again. It takes no records. On an error
// nothing is changed.
func (z *Zone) Fault(directives string) (fix func(), err error) {
	fault, err := parse(directives)
	if err != nil {
		return nil, err
	}
	if len(fault.records) > 0 {
		return nil, errors.New("dnstest: records are for Set")
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.faults = append(z.faults, fault)
	z.become(z.base)
	return func() { z.fix(fault) }, nil
}

func (z *Zone) fix(fault *data) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.faults = slices.DeleteFunc(z.faults, func(f *data) bool { return f == fault })
	z.become(z.base)
}

// become answers by base, with the faults that are on; z.mu is held. What
// answers is made anew, as questions that came before still look at the old.
func (z *Zone) become(base *data) {
	z.base, z.data = base, base
	for _, f := range z.faults {
		z.data = z.data.with(f)
	}
}

// clone returns a copy whose rules and tails may be changed.
func (d *data) clone() *data {
	c := *d
	c.rules, c.tails = slices.Clone(d.rules), maps.Clone(d.tails)
	return &c
}

// with returns d under the directives of fault.
func (d *data) with(fault *data) *data {
	c := d.clone()
	c.rules = append(slices.Clone(fault.rules), c.rules...)
	maps.Copy(c.tails, fault.tails)
	if fault.delay != 0 {
		c.delay = fault.delay
	}
	if fault.negativeTTL != defaultNegativeTTL {
		c.negativeTTL = fault.negativeTTL
	}
	c.noSOA, c.noEDNS = c.noSOA || fault.noSOA, c.noEDNS || fault.noEDNS
	c.down, c.any = c.down || fault.down, c.any || fault.any
	return c
}

// directed reports whether the text had a directive.
func (d *data) directed() bool {
	return len(d.rules) > 0 || d.noSOA || d.noEDNS || d.down || d.any || d.delay != 0 || d.negativeTTL != defaultNegativeTTL
}

// Set changes records of the zone; see Zone.Set.
func (s *Server) Set(records string) error { return s.Zone.Set(records) }

// Fault switches directives on and off; see Zone.Fault.
func (s *Server) Fault(directives string) (fix func(), err error) { return s.Zone.Fault(directives) }
