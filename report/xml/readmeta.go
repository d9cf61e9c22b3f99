package xml

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/report"
)

// meta takes an element of report_metadata or policy_published.
func (d *reader) meta() error {
	path, r := d.path[1:], &d.report
	if len(path) < 2 {
		return nil
	}
	name, text := path[len(path)-1].Local, d.word()
	switch {
	case path[0].Local == "policy_published" && len(path) == 2:
		return d.published(name, text)
	case len(path) == 3 && path[1].Local == "date_range" && (name == "begin" || name == "end"):
		return d.time(name, text)
	case len(path) > 2:
		return nil
	}
	switch name {
	case "org_name":
		r.Identity.Organization = text
	case "email":
		r.Identity.Email = text
	case "extra_contact_info":
		r.Identity.Contact = text
	case "report_id":
		r.ID = strings.Trim(text, "<>")
	case "generator":
		r.Generator = text
	case "error":
		if text != "" && len(r.Errors) < maxErrors {
			r.Errors = append(r.Errors, text)
		}
	}
	return nil
}

// maxSeconds is the year 9999, beyond which a time can have no more text of its own.
const maxSeconds = 253402300799

func (d *reader) time(name, text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxSeconds {
		return fmt.Errorf("%w: %s is %.30q", ErrMalformed, name, text)
	}
	d.seen[name] = true
	if name == "begin" {
		d.report.Period.Begin = time.Unix(n, 0).UTC()
	} else {
		d.report.Period.End = time.Unix(n, 0).UTC()
	}
	return nil
}

// period puts the end behind the last second, which some reporters write and others not.
func (d *reader) period() error {
	p := &d.report.Period
	if seconds := p.End.Unix() - p.Begin.Unix(); seconds%60 != 0 || seconds == 0 {
		p.End = p.End.Add(time.Second)
	}
	if !p.End.After(p.Begin) {
		return fmt.Errorf("%w: its period ends before it begins", ErrMalformed)
	}
	return nil
}

// published takes an element of policy_published. A word that is none of the schemas
// leaves the default.
func (d *reader) published(name, text string) error {
	p, word := &d.report.Published, strings.ToLower(text)
	switch name {
	case "domain":
		d.report.PolicyDomain = strings.TrimSuffix(word, ".")
	case "p":
		p.P, _ = dmarc.ParsePolicy(word)
	case "sp":
		p.SP, _ = dmarc.ParsePolicy(word)
	case "np":
		p.NP, _ = dmarc.ParsePolicy(word)
		d.report.Form = report.RFC9990
	case "adkim":
		p.ADKIM = mode(word)
	case "aspf":
		p.ASPF = mode(word)
	case "fo":
		p.FO = failureOptions(word)
	case "testing":
		p.Testing = word == "y"
		d.report.Form = report.RFC9990
	case "discovery_method":
		if allowed(discoveryWords, word) {
			p.Discovery = word
		}
		d.report.Form = report.RFC9990
	case "pct":
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil || n > 100 {
			n = 100
		}
		p.Pct = uint8(n)
	}
	return nil
}

func mode(word string) dmarc.Mode {
	if word == dmarc.Strict.String() {
		return dmarc.Strict
	}
	return dmarc.Relaxed
}

// failureOptions reads fo; parts that there are not are left out.
func failureOptions(word string) (fo dmarc.FailureOptions) {
	for _, part := range strings.Split(word, ":") {
		for bit := dmarc.ReportAllFailed; bit <= dmarc.ReportSPFFailed; bit <<= 1 {
			if strings.TrimSpace(part) == bit.String() {
				fo |= bit
			}
		}
	}
	return fo
}
