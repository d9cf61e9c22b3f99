package lint

import (
	"bufio"
	_ "embed"
	"fmt"
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

func (h holder) String() string {
	if h.name == "" {
		return h.net.String()
	}
	return h.name
}

// Kinds of holders that are not simply "whoever opens an account".
const (
	gatewayKind = "gateway"
	serviceKind = "service"
	sealingKind = "sealing" // only the seals of ARC are for everybody
	tunnelKind  = "tunnel"
	mailboxKind = "mailbox"
)

// holders is the content of holders.txt.
type holders struct {
	names map[string]holder
	list  []holder // those with a name
	nets  []holder
}

var knownHolders = sync.OnceValue(func() *holders {
	h, err := readHolders(holdersFile)
	if err != nil {
		panic("holders.txt: " + err.Error()) // built in, and read by a test
	}
	return h
})

// readHolders reads the form of holders.txt. The error names the line.
func readHolders(text string) (*holders, error) {
	h := &holders{names: map[string]holder{}}
	var kind *holderKind
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		switch {
		case line == "", strings.HasPrefix(line, "#"), strings.HasPrefix(line, "source: "), strings.HasPrefix(line, "date: "):
		case strings.HasPrefix(line, "["):
			name, words, ok := strings.Cut(line[1:], "] ")
			if !ok {
				return nil, fmt.Errorf("line %d: %q is not a section", n, line)
			}
			kind = &holderKind{name, words, effortOf(name)}
		default:
			if err := h.add(kind, line); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
		}
	}
	return h, sc.Err()
}

func effortOf(kind string) effort {
	switch kind {
	case tunnelKind:
		return anybody
	case gatewayKind, serviceKind:
		return customer
	}
	return account
}

func (h *holders) add(kind *holderKind, line string) error {
	for item := range strings.FieldsSeq(line) {
		one := holder{name: item, kind: kind}
		if strings.Contains(item, "/") {
			p, err := netip.ParsePrefix(item)
			if err != nil {
				return err
			}
			h.nets = append(h.nets, holder{net: p, kind: kind})
			continue
		}
		if p, err := pattern.ParseDomain(item); err != nil || p.Kind() != pattern.Exact || p.Name() != item {
			return fmt.Errorf("%q is not a domain", item)
		}
		if old, twice := h.names[item]; twice {
			return fmt.Errorf("%q is in %s too", item, old.kind.name)
		}
		h.names[item] = one
		h.list = append(h.list, one)
	}
	return nil
}

// of returns the holder that name is, or is below.
func (h *holders) of(name string) (holder, bool) {
	if one, ok := h.names[name]; ok {
		return one, true
	}
	for parent := range pattern.Above(name) {
		if one, ok := h.names[parent]; ok {
			return one, true
		}
	}
	return holder{}, false
}

// in returns the holders of which p has a name, each with that name.
func (h *holders) in(p pattern.Domain) []string {
	var names []string
	for _, one := range h.list {
		for _, name := range []string{one.name, "host." + one.name} {
			if p.Holds(name, "-") {
				names = append(names, name)
				break
			}
		}
	}
	return names
}

// tenant reports whether name is that of one customer, which only this customer
// can have signed: Microsoft 365 and Google Workspace sign so for domains without a
// key of their own.
func (h holder) tenant(name string) bool {
	return name != h.name && (h.name == "onmicrosoft.com" || h.name == "gappssmtp.com")
}

// SharedSender returns the shared holder that a domain is or is below, and what it
// is: who lets it in by SPF lets in all its customers. ok is false for all other
// domains; the list cannot be complete.
func SharedSender(domain string) (name, kind string, ok bool) {
	h, ok := knownHolders().of(domain)
	if !ok || h.kind.name == sealingKind {
		return "", "", false
	}
	return h.name, h.kind.words, true
}

// SharedClient is SharedSender for the name of a client: it knows the forms of names
// that some hosters give to rented servers, too.
func SharedClient(name string) (holder, kind string, ok bool) {
	if ovhName(name) {
		return name, "a rented server", true
	}
	return SharedSender(name)
}

// SharedNetwork returns the network of a shared holder of which p has addresses, and
// what the holder is.
func SharedNetwork(p netip.Prefix) (network netip.Prefix, kind string, ok bool) {
	for _, h := range knownHolders().nets {
		if h.net.Overlaps(p) {
			return h.net, h.kind.words, true
		}
	}
	return netip.Prefix{}, "", false
}
