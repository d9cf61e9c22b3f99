// Package lookup shows what a receiver sees of one domain, or of many: the DMARC
// record that applies and its defects with their fixes, what mail that fails
// would get, whom SPF lets in, whether report destinations consent, and every DNS
// query with its answer. It can write a message to the owner of the domain, and
// sends none. docs/lookup.md describes the output.
//
// What it prints of the DNS is printable ASCII of bounded length. A domain takes
// at most [limits] message_budget; a batch has at most 100,000 lines of 1,024
// bytes, eight of them looked up at a time.
package lookup

import (
	"context"
	"encoding/json"
	"io"

	"dmarcgate/dnscache"
	"dmarcgate/site"
	"dmarcgate/term"
)

// Options say with what a domain is looked up, and in which form it is printed.
type Options struct {
	Site site.Site // with its suffix list; rules have no say here
	DNS  *dnscache.Resolver
	JSON bool // of a batch, one object a line and the summary last

	Selectors []string // of DKIM keys, for Domain; at most MaxSelectors

	Progress *term.Progress // of a batch; nil shows none
}

// Domain looks a domain up, which must be in the form of message.ParseDomain, and
// prints what a receiver sees of it. It ends with an error when the domain could
// not be looked up or has a defect that changes what its record means.
func Domain(ctx context.Context, out io.Writer, domain string, o Options) error {
	s := looker{in: o.Site, dns: o.DNS, selectors: o.Selectors}.look(ctx, domain)
	var err error
	if o.JSON {
		err = json.NewEncoder(out).Encode(s)
	} else {
		err = s.tree().Print(out)
	}
	if err != nil {
		return err
	}
	return s.failure()
}

// MailText looks a domain up as Domain does, and prints a message to its owner:
// what is wrong, and the record corrected. Without anything to fix it says so in
// notes, and prints nothing to out.
func MailText(ctx context.Context, out, notes io.Writer, domain string, o Options) error {
	s := looker{in: o.Site, dns: o.DNS, owner: true}.look(ctx, domain)
	if s.Error == "" {
		if err := s.mail(out, notes); err != nil {
			return err
		}
	}
	return s.failure()
}
