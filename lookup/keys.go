package lookup

import (
	"context"
	"fmt"

	"dmarcgate/auth/dkim"
	"dmarcgate/dnscache"
	"dmarcgate/term"
)

// MaxSelectors is how many selectors one lookup may name: our limit.
const MaxSelectors = 20

// goodRSA is the size of a key in bits that signers should have (RFC 8301,
// Section 3.2).
const goodRSA = 2048

// keyReport is what the name of a DKIM key has.
type keyReport struct {
	Selector string         `json:"selector"`
	Name     string         `json:"name"`            // of the record
	Records  []publishedKey `json:"records"`         // at most those that a receiver tries
	Why      string         `json:"why,omitempty"`   // there is no record that can be read
	Error    string         `json:"error,omitempty"` // of the DNS
}

// publishedKey is one key record.
type publishedKey struct {
	Kind    string   `json:"kind"`
	Bits    int      `json:"bits"`
	Testing bool     `json:"testing,omitempty"`
	Strict  bool     `json:"strict,omitempty"`
	Defects []string `json:"defects"`
	Unused  bool     `json:"unusable,omitempty"` // no signature verifies with the key
}

// usable reports whether a signature can verify with one of the keys.
func (k keyReport) usable() bool {
	for _, r := range k.Records {
		if !r.Unused {
			return true
		}
	}
	return false
}

// keys looks up the keys of selectors. Names were checked by dkim.KeyName.
func (l looker) keys(ctx context.Context, s *domainReport, selectors []string) {
	var t dnscache.Trail
	view := l.dns.View(dnscache.DKIM).Traced(t.Add)
	for _, selector := range selectors {
		k := keyReport{Selector: term.Printable(selector), Records: []publishedKey{}}
		name, err := dkim.KeyName(selector, s.Domain)
		if err != nil {
			k.Error = term.ErrorText(err)
			s.Keys = append(s.Keys, k)
			continue
		}
		found, why, err := dkim.Keys(ctx, view, name)
		k.Name, k.Why, k.Error = name, why, term.ErrorText(err)
		for _, p := range found {
			k.Records = append(k.Records, l.published(p, len(found)))
		}
		s.Keys = append(s.Keys, k)
	}
	s.addLookups(t.Lookups())
}

// published puts a key record into words; it is one of so many at its name.
func (l looker) published(p dkim.Published, records int) publishedKey {
	k := publishedKey{Kind: term.Bounded(p.Kind, maxText), Bits: p.Bits, Testing: p.Testing, Strict: p.Strict, Defects: []string{}, Unused: p.Why != ""}
	add := func(on bool, format string, args ...any) {
		if on {
			k.Defects = append(k.Defects, fmt.Sprintf(format, args...))
		}
	}
	most := l.in.Config.DKIM.MaxKeyBits
	add(p.Why != "", "%s", p.Why)
	add(p.Why == "" && p.Kind == "rsa" && p.Bits < goodRSA, "%d bits: signers should use at least %d (RFC 8301, Section 3.2)", p.Bits, goodRSA)
	add(p.Why == "" && p.Kind == "rsa" && p.Bits > most, "larger than max_key_bits of this host, %d", most)
	add(p.Testing, "t=y: the owner is testing; receivers must not treat signed mail differently for that (RFC 6376, Section 3.6.1)")
	add(records > 1, "%d records at one name: which one applies is not defined (RFC 6376, Section 3.6.2.2)", records)
	return k
}

// keyNodes shows the keys.
func (s *domainReport) keyNodes(root *term.Node) {
	for _, k := range s.Keys {
		n := root.Add("DKIM key of selector %s", k.Selector)
		switch {
		case k.Error != "":
			n.Add("not known: %s", k.Error)
		case len(k.Records) == 0:
			n.Add("NO KEY at %s: %s", k.Name, k.Why)
		}
		for _, r := range k.Records {
			text := fmt.Sprintf("found at %s: %s", k.Name, term.Printable(r.Kind))
			if r.Bits > 0 {
				text += fmt.Sprintf(", %d bits", r.Bits)
			}
			if r.Unused {
				text += ", UNUSABLE"
			}
			record := n.Add("%s", text)
			for _, d := range r.Defects {
				record.Add("%s", d)
			}
		}
	}
}
