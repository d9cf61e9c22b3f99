package lint

import (
	_ "embed"
	"net/netip"
	"strings"
	"sync"

	"dmarcgate/policy/pattern"
)

//go:embed holders.txt
var holdersFile string

// holder is a domain or a network through which many parties send mail: who
// trusts it trusts all of them.
type holder struct {
	name string       // domain; the names below it are the same; "" for a network
	net  netip.Prefix // network; invalid for a domain
	kind *holderKind
}

// holderKind is a section of holders.txt.
type holderKind struct {
	name   string // "mailbox"
	words  string // what it is, for findings
	effort effort // of using what the holder has
}

// Kinds of holders that are not simply "whoever opens an account".
const (
	sealingKind = "sealing" // only the seals of ARC are for everybody
	mailboxKind = "mailbox"
)

var kindEfforts = map[string]effort{"tunnel": anybody, "gateway": customer, "service": customer}

// rented is what OVH has, too, which names the addresses of servers: ip-51-68-1.eu.
var rented = &holderKind{"hosting", "a rented server", account}

// holders is the content of holders.txt.
type holders struct {
	names map[string]holder
	list  []string // names
	nets  []holder
}

// knownHolders reads the file, whose form is that of holders.txt in this version: a
// test checks it.
var knownHolders = sync.OnceValue(func() *holders {
	h := &holders{names: map[string]holder{}}
	var kind *holderKind
	for line := range strings.Lines(holdersFile) {
		first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case first == "", first == "source:", first == "date:", first[0] == '#':
		case first[0] == '[':
			name := strings.Trim(first, "[]")
			e, is := kindEfforts[name]
			if !is {
				e = account
			}
			kind = &holderKind{name, rest, e}
		default:
			for item := range strings.FieldsSeq(line) {
				if strings.Contains(item, "/") {
					h.nets = append(h.nets, holder{net: netip.MustParsePrefix(item), kind: kind})
				} else {
					h.names[item], h.list = holder{name: item, kind: kind}, append(h.list, item)
				}
			}
		}
	}
	return h
})

// of returns the holder that name is, or is below.
func (h *holders) of(name string) (one holder, ok bool) {
	if one, ok = h.names[name]; ok {
		return one, true
	}
	for parent := range pattern.Above(name) {
		if one, ok = h.names[parent]; ok {
			return one, true
		}
	}
	return holder{name: name, kind: rented}, ovhName(name)
}

// in returns the holders of which p has a name, each with that name.
func (h *holders) in(p pattern.Domain) (names []string) {
	for _, one := range h.list {
		if p.Holds(one, "-") {
			names = append(names, one)
		} else if p.Holds("host."+one, "-") {
			names = append(names, "host."+one)
		}
	}
	return names
}

// at returns the holder of which p has addresses, of several the one that takes least.
func (h *holders) at(p netip.Prefix) (least holder, ok bool) {
	for _, one := range h.nets {
		if one.net.Overlaps(p) && (!ok || one.kind.effort < least.kind.effort) {
			least, ok = one, true
		}
	}
	return least, ok
}

// tenant reports whether name is that of one customer, which only this customer
// can have signed: Microsoft 365 and Google Workspace sign so for domains without a
// key of their own.
func (h holder) tenant(name string) bool {
	return name != h.name && (h.name == "onmicrosoft.com" || h.name == "gappssmtp.com")
}

// ovhName reports whether a name is, or is below, one of a rented server.
func ovhName(name string) bool {
	labels := strings.Split(name, ".")
	if len(labels) < 2 {
		return false
	}
	host, tld := labels[len(labels)-2], labels[len(labels)-1]
	return (tld == "eu" || tld == "net") && strings.HasPrefix(host, "ip-") && strings.Count(host, "-") == 3 && strings.Trim(host[3:], "0123456789-") == ""
}

// SharedName returns the shared holder that a domain or the name of a client is or is
// below, and what it is: who lets it in lets in all its customers. ok is false for all
// other names; the list cannot be complete.
func SharedName(name string) (of, kind string, ok bool) {
	h, ok := knownHolders().of(name)
	if !ok || h.kind.name == sealingKind {
		return "", "", false
	}
	return h.name, h.kind.words, true
}

// SharedNetwork returns the network of a shared holder of which p has addresses, and
// what the holder is.
func SharedNetwork(p netip.Prefix) (network netip.Prefix, kind string, ok bool) {
	h, ok := knownHolders().at(p)
	if !ok {
		return netip.Prefix{}, "", false
	}
	return h.net, h.kind.words, true
}
