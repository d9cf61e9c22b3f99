package dnstest

import (
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	defaultTTL         = 300
	defaultNegativeTTL = 300
)

// data is what one zone text says. It is not changed after parsing.
type data struct {
	records     map[string][]dns.RR // by owner; empty for an empty non-terminal
	rules       []rule
	tails       map[string]bool // last labels, and last two labels, of what the text names
	negativeTTL uint32
	delay       time.Duration
	noSOA       bool
	noEDNS      bool
	down        bool
	any         bool
}

func parse(text string) (*data, error) {
	d := &data{records: make(map[string][]dns.RR), tails: make(map[string]bool), negativeTTL: defaultNegativeTTL}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		directive, ok := strings.CutPrefix(strings.TrimSpace(line), "!")
		if !ok {
			continue
		}
		if err := d.directive(strings.Fields(directive)); err != nil {
			return nil, fmt.Errorf("dnstest: line %d: %w", i+1, err)
		}
		lines[i] = ""
	}
	lines = dedent(lines)
	zp := dns.NewZoneParser(strings.NewReader(strings.Join(lines, "\n")+"\n"), ".", "")
	zp.SetDefaultTTL(defaultTTL)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		d.add(rr)
	}
	if err := zp.Err(); err != nil {
		return nil, fmt.Errorf("dnstest: %w", err)
	}
	return d, nil
}

// dedent removes the white space that all lines begin with: in a zone file a
// line that begins with space repeats the owner of the line above.
func dedent(lines []string) []string {
	common, first := "", true
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if first {
			common, first = indent, false
		}
		for !strings.HasPrefix(indent, common) {
			common = common[:len(common)-1]
		}
	}
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = strings.TrimPrefix(line, common)
	}
	return out
}

// add stores a record, and makes the names above its owner exist.
func (d *data) add(rr dns.RR) {
	owner := canonical(rr.Header().Name)
	rr.Header().Name = owner
	d.records[owner] = append(d.records[owner], rr)
	for name := parent(owner); name != "."; name = parent(name) {
		if _, ok := d.records[name]; !ok {
			d.records[name] = nil
		}
	}
	d.expect(owner)
	switch rr := rr.(type) {
	case *dns.CNAME:
		d.expect(canonical(rr.Target))
	case *dns.MX:
		d.expect(canonical(rr.Mx))
	case *dns.PTR:
		d.expect(canonical(rr.Ptr))
	}
}

func (d *data) expect(name string) {
	labels := dns.SplitDomainName(name)
	for n := 1; n <= min(2, len(labels)); n++ {
		d.tails[tail(labels, n)] = true
	}
}

// expected reports whether the text has something to do with name.
func (d *data) expected(name string) bool {
	labels := dns.SplitDomainName(name)
	if d.any || len(labels) == 0 {
		return true
	}
	if len(labels) == 1 || len(labels) == 2 && labels[0] == "_dmarc" {
		last := tail(labels, 1)
		return last == "_dmarc" || d.tails[last]
	}
	return d.tails[tail(labels, 2)]
}

func tail(labels []string, n int) string {
	return strings.Join(labels[len(labels)-n:], ".")
}
