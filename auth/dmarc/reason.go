package dmarc

import (
	"fmt"
	"strconv"
	"strings"
)

// maxReasonIdentifiers bounds how many identifiers a reason names: a message
// may bring many signatures.
const maxReasonIdentifiers = 3

func lookupWhy(d Discovery) string {
	for _, s := range d.Walk {
		if s.Err != nil {
			return "no answer for " + show(s.Name())
		}
	}
	return "no answer for the DMARC record of " + show(d.Author)
}

func noneWhy(d Discovery) string {
	for _, s := range d.Walk {
		if n := len(s.Records); n > 1 {
			return fmt.Sprintf("%s holds %d DMARC records, which count as none", show(s.Name()), n)
		}
	}
	if d.Author == "" {
		return "no author domain"
	}
	return "no DMARC record for " + show(d.Author)
}

func unusableWhy(d Discovery) string {
	return "the DMARC record of " + show(d.PolicyDomain) + " has an invalid policy and no usable rua"
}

func passWhy(d Discovery, ids []Identifier) string {
	var names []string
	for _, id := range ids {
		if id.Passed && id.AlignedWith(d) {
			names = append(names, describe(id))
		}
	}
	return "aligned " + list(names)
}

func failWhy(d Discovery, ids []Identifier) string {
	var names []string
	for _, id := range ids {
		if id.Passed {
			names = append(names, describe(id))
		}
	}
	switch len(names) {
	case 0:
		return "no aligned SPF or DKIM pass: nothing authenticated"
	case 1:
		return "no aligned SPF or DKIM pass: " + names[0] + " is not aligned"
	default:
		return "no aligned SPF or DKIM pass: " + list(names) + " are not aligned"
	}
}

func openWhy(id Identifier) string {
	if id.Err != nil {
		return fmt.Sprintf("no aligned pass, and %s for %s could not be checked", id.Mechanism, show(id.Domain))
	}
	return "no answer on whether " + describe(id) + " is aligned"
}

func describe(id Identifier) string {
	return id.Mechanism.String() + " pass for " + show(id.Domain)
}

func list(names []string) string {
	if more := len(names) - maxReasonIdentifiers; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxReasonIdentifiers], ", "), more)
	}
	return strings.Join(names, ", ")
}

// show returns a domain as it may stand in a log line. A d= is whatever the
// sender wrote.
func show(domain string) string {
	domain = domain[:min(len(domain), MaxNameBytes)]
	plain := strings.IndexFunc(domain, func(r rune) bool {
		return r >= 0x80 || r != '.' && r != '-' && r != '_' && !isAlphanumeric(byte(r))
	}) < 0
	if plain && domain != "" {
		return domain
	}
	return strconv.QuoteToASCII(domain)
}
