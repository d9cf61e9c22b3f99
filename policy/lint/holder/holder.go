// Package holder knows the domains and networks through which many parties send mail:
// mailbox providers, bulk senders, gateways, hosters, access providers. Who trusts a
// shared holder trusts all its customers.
//
// The list is in holders.txt, with source and date; docs/rules.md says how to add a
// holder. The list cannot be complete: a name that is not found can be shared all the
// same. The names of the servers that OVH rents out follow a scheme and are not listed.
// Nothing here fails, and nothing is looked up.
//
//	if h, ok := holder.Of("mail.gmail.com"); ok {
//		fmt.Println(h.Name, "is", h.Words) // gmail.com is a mailbox provider, ...
//	}
package holder

import (
	_ "embed"
	"net/netip"
	"strings"
	"sync"

	"dmarcgate/policy/pattern"
)

//go:embed holders.txt
var file string

// Access is what it takes to use what a holder has.
type Access uint8

// From the least to the most.
const (
	Anybody  Access = iota // no account is needed, as for tunnel brokers
	Account                // whoever opens an account or rents a server
	Customer               // organizations that buy the service
)

// Holder is a domain or a network through which many parties send mail.
type Holder struct {
	Name    string       // domain; the names below it are the same; "" for a network
	Network netip.Prefix // invalid for a domain
	Words   string       // what it is, for findings: "a mailbox provider, where anybody can open an account"
	Access  Access
	// Seals: the holder seals (ARC) the mail of everybody who forwards through it.
	// Where SealsOnly is set, nothing else of the holder is for everybody.
	Seals, SealsOnly bool
}

var access = map[string]Access{"tunnel": Anybody, "gateway": Customer, "service": Customer}

// rented is what OVH has, too, which names the addresses of servers: ip-51-68-1.eu.
var rented = Holder{Words: "a rented server", Access: Account}

type holders struct {
	names map[string]Holder
	list  []string // names
	nets  []Holder
}

// known reads the file, whose form is that of holders.txt in this version: a test
// checks it.
var known = sync.OnceValue(func() *holders {
	h := &holders{names: map[string]Holder{}}
	var section Holder
	for line := range strings.Lines(file) {
		first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case first == "", first == "source:", first == "date:", first[0] == '#':
		case first[0] == '[':
			kind := strings.Trim(first, "[]")
			who, is := access[kind]
			if !is {
				who = Account
			}
			section = Holder{Words: rest, Access: who, Seals: kind == "mailbox" || kind == "sealing", SealsOnly: kind == "sealing"}
		default:
			for item := range strings.FieldsSeq(line) {
				one := section
				if strings.Contains(item, "/") {
					one.Network = netip.MustParsePrefix(item)
					h.nets = append(h.nets, one)
				} else {
					one.Name = item
					h.names[item], h.list = one, append(h.list, item)
				}
			}
		}
	}
	return h
})

// Of returns the holder that a name is, or is below.
func Of(name string) (h Holder, ok bool) {
	if h, ok = known().names[name]; ok {
		return h, true
	}
	for parent := range pattern.Above(name) {
		if h, ok = known().names[parent]; ok {
			return h, true
		}
	}
	h = rented
	h.Name = name
	return h, ofServer(name)
}

// Sender is Of, but for holders of which only the seals are for everybody.
func Sender(name string) (h Holder, ok bool) {
	if h, ok = Of(name); ok && !h.SealsOnly {
		return h, true
	}
	return Holder{}, false
}

// In returns, for each holder of which p has a name, such a name.
func In(p pattern.Domain) (names []string) {
	for _, one := range known().list {
		if p.Holds(one, "-") {
			names = append(names, one)
		} else if p.Holds("host."+one, "-") {
			names = append(names, "host."+one)
		}
	}
	return names
}

// At returns the holder of which p has addresses, of several the one that takes least.
func At(p netip.Prefix) (least Holder, ok bool) {
	for _, one := range known().nets {
		if one.Network.Overlaps(p) && (!ok || one.Access < least.Access) {
			least, ok = one, true
		}
	}
	return least, ok
}

// Networks returns all networks that are known, which the caller must not change.
func Networks() []Holder { return known().nets }

// Tenant reports whether name is that of one customer of the holder, which only this
// customer can have signed: Microsoft 365 and Google Workspace sign so for domains
// without a key of their own.
func (h Holder) Tenant(name string) bool {
	return name != h.Name && (h.Name == "onmicrosoft.com" || h.Name == "gappssmtp.com")
}

// ofServer reports whether a name is, or is below, one of a rented server.
func ofServer(name string) bool {
	labels := strings.Split(name, ".")
	if len(labels) < 2 {
		return false
	}
	host, tld := labels[len(labels)-2], labels[len(labels)-1]
	return (tld == "eu" || tld == "net") && strings.HasPrefix(host, "ip-") && strings.Count(host, "-") == 3 && strings.Trim(host[3:], "0123456789-") == ""
}
