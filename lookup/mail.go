package lookup

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/report/consent"
	"dmarcgate/scope"
	"dmarcgate/term"
)

// Limits of a message to an owner.
const (
	maxContacts  = 10
	maxProposals = 5   // records of one name that are corrected
	maxQuote     = 400 // bytes of text that is quoted; a line has 998, and a quote may double it
)

// mail prints a message to the owner of the domain. Every line that has text of
// the DNS is indented, so that none can be taken for a field, for the end of
// the message or for a "From " line. Nothing to fix is no message.
func (s *domainReport) mail(out, notes io.Writer) error {
	mine := s.ownDefects()
	refusals := s.refusals()
	n := len(mine) + len(refusals)
	if n == 0 {
		_, err := fmt.Fprintf(notes, "dmarcgate: nothing to fix for the owner of %s\n", s.Domain)
		return err
	}
	var b strings.Builder
	s.mailHeader(&b, n)
	fmt.Fprintf(&b, "Hello,\n\nthe DMARC record found by receivers for mail from %s\nhas defects to be fixed.\n", s.Domain)
	s.mailSeen(&b)
	for i, d := range mine {
		fmt.Fprintf(&b, "\n%d. %s, in %s at byte %d:\n", i+1, d.Kind, d.Name, d.Pos)
		fmt.Fprintf(&b, "   %q\n   %s.\n   Fix: %s.\n", d.Text, upperFirst(d.effect()), d.Fix)
	}
	for i, d := range refusals {
		fmt.Fprintf(&b, "\n%d. No reports go to the destination of %s\n", len(mine)+i+1, d.Tag)
		fmt.Fprintf(&b, "   %q:\n   %s.\n   Fix: %s.\n", term.Bounded(d.URI, maxQuote), d.Why, refusalFix(d))
	}
	s.mailProposals(&b, mine)
	b.WriteString("\nRFC 9989 describes the record, RFC 9990 the reports.\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// ownDefects are those at names of the organization, not of a registry above.
func (s *domainReport) ownDefects() []defectReport {
	top := cmp.Or(s.Org, s.Domain)
	return slices.DeleteFunc(slices.Clone(s.Defects), func(d defectReport) bool {
		return !scope.AtOrBelow(strings.TrimPrefix(d.Name, "_dmarc."), top)
	})
}

func (s *domainReport) refusals() []consent.Destination {
	return slices.DeleteFunc(slices.Clone(s.Destinations), func(d consent.Destination) bool { return d.Consent != consent.Refused })
}

// refusalFix says what helps against a refusal.
func refusalFix(d consent.Destination) string {
	if len(d.Name) > dmarc.MaxNameBytes {
		return "name another destination"
	}
	return fmt.Sprintf("have TXT \"v=DMARC1\" published at\n   %s\n   or name another destination", term.Printable(d.Name))
}

func (s *domainReport) mailHeader(b *strings.Builder, n int) {
	fmt.Fprintf(b, "To: %s\n", strings.Join(s.contacts(), ",\n "))
	problems := "1 problem"
	if n > 1 {
		problems = fmt.Sprintf("%d problems", n)
	}
	fmt.Fprintf(b, "Subject: DMARC record of %s: %s to fix\n\n", s.Domain, problems)
}

// contacts are the addresses that the DNS gives: the mailbox of the zone, that
// which every domain should have (RFC 5321, Section 4.5.1), and those that the
// record itself names.
func (s *domainReport) contacts() []string {
	owner := s.PolicyDomain
	if owner == "" {
		owner = s.Domain
	}
	candidates := []string{"postmaster@" + owner, s.mailbox}
	for _, d := range s.Destinations {
		addr, _ := consent.MailtoAddress(d.URI)
		if d.Tag == "rua" {
			candidates = append(candidates, addr)
		}
	}
	var out []string
	for _, text := range candidates {
		addr, ok := plainAddress(text)
		if ok && !slices.Contains(out, addr) && len(out) < maxContacts {
			out = append(out, addr)
		}
	}
	return out
}

// mailSeen quotes what was found, and tells what it means today.
func (s *domainReport) mailSeen(b *strings.Builder) {
	if s.Record == "" {
		fmt.Fprintf(b, "At present no record applies, and %s is not protected.\n", s.Domain)
		return
	}
	fmt.Fprintf(b, "\nPublished at _dmarc.%s:\n\n   %q\n\n", s.PolicyDomain, term.Bounded(s.Record, maxQuote))
	fmt.Fprintf(b, "Policy applied by receivers to failing mail: %s.\n", s.Policy)
}

// mailProposals prints the records of each name that has a defect, corrected.
func (s *domainReport) mailProposals(b *strings.Builder, mine []defectReport) {
	var names []string
	for _, d := range mine {
		if slices.Contains(names, d.Name) {
			continue
		}
		names = append(names, d.Name)
		texts := s.records(d.Name)
		if len(texts) == 0 {
			continue
		}
		if len(texts) == 1 {
			b.WriteString("\nCorrected record, ready to paste:\n")
		} else {
			b.WriteString("\nCorrected records; publish exactly one:\n")
		}
		var notes []string
		for _, txt := range texts {
			m := fix(txt)
			fmt.Fprintf(b, "\n   %s. IN TXT %s\n", d.Name, term.TXTLines(m.record.String()))
			notes = append(notes, m.notes...)
		}
		slices.Sort(notes)
		for i, note := range slices.Compact(notes) {
			if i == 0 {
				b.WriteString("\nPlease note:\n")
			}
			fmt.Fprintf(b, " - %s\n", note)
		}
	}
}

// records returns what stands at a name and is a record, or was meant to be
// one, in a fixed order, at most maxProposals.
func (s *domainReport) records(name string) []string {
	var out []string
	for _, step := range s.found.Walk {
		if step.Name() == name {
			out = slices.Clone(step.Records)
			out = append(out, s.misspelt(step)...)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxProposals)]
}

// misspelt returns the TXT records of a step that were meant to be a DMARC
// record. The step has only their beginnings, the lookup all of them.
func (s *domainReport) misspelt(step dmarc.Step) []string {
	if len(step.Records) > 0 {
		return nil // then they have no effect
	}
	var out []string
	for _, d := range step.Defects {
		for _, l := range s.lookups {
			if d.Kind != dmarc.BadVersion || l.Name != step.Name() || l.Type != "TXT" {
				continue
			}
			for _, txt := range l.Records {
				if strings.HasPrefix(txt, d.Text) && !slices.Contains(out, txt) {
					out = append(out, txt)
				}
			}
		}
	}
	return out
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
