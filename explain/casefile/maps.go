package casefile

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// Of a map, a bundle has the items that are about its message: the others may
// be a million, and nobody else's business. Where there is none, these stand for
// it, because a key without items would be another rule.
var (
	noDomain  = must(pattern.ParseDomain("nothing.invalid"))                     // RFC 2606, Section 2
	noNetwork = pattern.NetworkOf(netip.PrefixFrom(netip.IPv4Unspecified(), 32)) // is no client: RFC 1122, Section 3.2.1.3
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// withoutMaps returns a rule that does the same with a message without maps, and
// whether there were any.
func withoutMaps(r policy.Rule, f policy.Facts) (policy.Rule, bool) {
	names := namesOf(f)
	found := false
	for _, keys := range []reflect.Value{reflect.ValueOf(&r.Match).Elem(), reflect.ValueOf(&r.Match.Not).Elem()} {
		for i := range keys.NumField() {
			switch list := keys.Field(i).Interface().(type) {
			case []pattern.Domain:
				if slices.ContainsFunc(list, func(p pattern.Domain) bool { return p.Map() != nil }) {
					keys.Field(i).Set(reflect.ValueOf(domainsAbout(list, names)))
					found = true
				}
			case []pattern.Network:
				if slices.ContainsFunc(list, func(p pattern.Network) bool { return p.Map() != nil }) {
					keys.Field(i).Set(reflect.ValueOf(networksAbout(list, f.Client.Unmap().WithZone(""))))
					found = true
				}
			}
		}
	}
	return r, found
}

// namesOf returns every domain of a message that a rule can look at.
func namesOf(f policy.Facts) []string {
	names := append([]string{f.ClientName, f.Helo, f.MailFrom, f.SPF.Domain, f.ListID}, f.Recipients...)
	for _, a := range f.Authors {
		names = append(names, a.Domain, a.Org, a.PolicyDomain)
	}
	for _, s := range f.DKIM {
		names = append(names, s.Domain)
	}
	for _, s := range f.ARC.Sealers {
		names = append(names, s.Domain)
	}
	return names
}

func domainsAbout(list []pattern.Domain, names []string) (out []pattern.Domain) {
	for _, p := range list {
		if p.Map() == nil {
			out = append(out, p)
			continue
		}
		for item := range p.Map().All() {
			if slices.ContainsFunc(names, func(name string) bool { return isAbout(item.String(), name) }) {
				out = append(out, item)
			}
		}
	}
	if len(out) == 0 {
		out = append(out, noDomain)
	}
	return out
}

// isAbout reports whether a pattern could hold a name.
func isAbout(pattern, name string) bool {
	return pattern == name || strings.HasPrefix(pattern, ".") && strings.HasSuffix(name, pattern) || pattern == "org:"+name
}

func networksAbout(list []pattern.Network, client netip.Addr) (out []pattern.Network) {
	for _, p := range list {
		switch m := p.Map(); {
		case m == nil:
			out = append(out, p)
		case m.Holds(client):
			out = append(out, pattern.NetworkOf(netip.PrefixFrom(client, client.BitLen())))
		}
	}
	if len(out) == 0 {
		out = append(out, noNetwork)
	}
	return out
}
