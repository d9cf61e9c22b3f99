package policy

import (
	"net/netip"

	"dmarcgate/policy/pattern"
)

// TrustedForwarders is whom the site knows by name. The zero value is nobody.
type TrustedForwarders struct {
	Sealers  []string         // d= of ARC seals, lower-case A-labels: they forward what they received, and record it truly
	Networks []netip.Prefix   // clients that are lists or forwarders
	Domains  []pattern.Domain // the same by the domain for which SPF or DKIM passes
}
