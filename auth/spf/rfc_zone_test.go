package spf

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/internal/suites"
)

// suiteZone is the DNS of a section of the suite, by lower-case name.
type suiteZone map[string][]suiteRecord

type suiteRecord struct {
	kind string
	data []string
}

// readZone reads the records by name: each is a map of one type to its data, or
// the word TIMEOUT.
func readZone(n suites.Node) suiteZone {
	zone := suiteZone{}
	for i, owner := range n.Keys {
		var records []suiteRecord
		for _, item := range n.Items[i].Items {
			r := suiteRecord{kind: item.Text}
			if len(item.Keys) > 0 {
				r = suiteRecord{item.Keys[0], item.Items[0].Texts()}
			}
			records = append(records, r)
		}
		zone[strings.ToLower(owner)] = records
	}
	return zone
}

var errTimeout = errors.New("timeout")

// query is the identity of a case, as the path of a message makes it.
func (c suiteCase) query() Query {
	helo := c.field("helo")
	from := c.field("mailfrom")
	if from == "" {
		from = "postmaster@" + helo
	}
	at := strings.LastIndexByte(from, '@')
	local := from[:at]
	if local == "" {
		local = "postmaster"
	}
	return Query{IP: netip.MustParseAddr(c.field("host")), Domain: from[at+1:], Local: local, Helo: helo, Explain: true}
}

// find returns the records of a type, and follows CNAMEs. "TIMEOUT" hides what
// does not stand before it. Records of the old type SPF are TXT where no TXT
// is given.
func (z suiteZone) find(name, kind string) ([]suiteRecord, error) {
	for range 5 {
		records := z[strings.ToLower(strings.TrimSuffix(name, "."))]
		has := func(kind string) bool {
			return slices.ContainsFunc(records, func(r suiteRecord) bool { return r.kind == kind })
		}
		queried := kind
		if kind == "TXT" && !has("TXT") {
			queried = "SPF"
		}
		var out []suiteRecord
		for _, r := range records {
			switch {
			case r.kind == "TIMEOUT" && len(out) == 0:
				return nil, errTimeout
			case r.kind == queried && !slices.Equal(r.data, []string{"NONE"}):
				out = append(out, r)
			}
		}
		if !has("CNAME") {
			return out, nil
		}
		name = records[0].data[0]
	}
	return nil, errTimeout // a loop
}

// texts returns the data of the records, each joined.
func (z suiteZone) texts(name, kind string) ([]string, error) {
	records, err := z.find(name, kind)
	var out []string
	for _, r := range records {
		out = append(out, strings.Join(r.data, ""))
	}
	return out, err
}

func (z suiteZone) addrs(name, kind string) ([]netip.Addr, error) {
	texts, err := z.texts(name, kind)
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out, err
}

func (z suiteZone) TXT(_ context.Context, name string) ([]string, error) { return z.texts(name, "TXT") }

func (z suiteZone) A(_ context.Context, name string) ([]netip.Addr, error) { return z.addrs(name, "A") }

func (z suiteZone) AAAA(_ context.Context, name string) ([]netip.Addr, error) {
	return z.addrs(name, "AAAA")
}

func (z suiteZone) MX(_ context.Context, name string) ([]string, error) {
	records, err := z.find(name, "MX")
	var out []string
	for _, r := range records {
		out = append(out, r.data[1])
	}
	return out, err
}

func (z suiteZone) PTR(_ context.Context, addr netip.Addr) ([]string, error) {
	c := checker{ip: addr}
	name := expandName("%{ir}.%{v}.arpa", func(letter byte) string { return c.value(context.Background(), letter, "") })
	return z.texts(name, "PTR")
}
