package enforce

import (
	"cmp"
	"strings"

	"dmarcgate/auth/authres"
	"dmarcgate/message"
	"dmarcgate/policy"
	"dmarcgate/scope"
)

// maxEarlier is how many fields with results of others are read of a message:
// our limit. Each hop adds two or three; a chain of ARC has at most 50 hops.
const maxEarlier = 100

// maxReceivedSPF bounds what is read of one Received-SPF field, in bytes: our
// limit. Honest fields have some 300.
const maxReceivedSPF = 4 << 10

// earlierSPFFail reports whether a field of the message says that SPF has failed
// for the organization of an author domain when an earlier host received it:
// Received-SPF (RFC 7208, Section 9.1), Authentication-Results (RFC 8601) or
// ARC-Authentication-Results (RFC 8617). Where SPF passes now, somebody may have
// sent it through a shared sender that the organization lets in. Anybody can write
// such a field, and gains nothing by it: no decision depends on it.
func earlierSPFFail(h message.Header, authors []policy.Author) bool {
	read := 0
	for i := range h {
		var domains func(body string) []string
		switch name := h[i].Name; {
		case strings.EqualFold(name, "Received-SPF"):
			domains = failedOfReceivedSPF
		case strings.EqualFold(name, "Authentication-Results"):
			domains = failedOfResults
		case strings.EqualFold(name, "ARC-Authentication-Results"):
			domains = func(body string) []string {
				_, results, _ := strings.Cut(body, ";") // i=N
				return failedOfResults(results)
			}
		default:
			continue
		}
		if read++; read > maxEarlier {
			return false
		}
		for _, d := range domains(string(h[i].Body())) {
			if ofAuthors(d, authors) {
				return true
			}
		}
	}
	return false
}

// ofAuthors reports whether a domain is of the organization of an author domain.
func ofAuthors(domain string, authors []policy.Author) bool {
	d, err := message.ParseDomain(domain)
	if err != nil {
		return false
	}
	for i := range authors {
		if scope.AtOrBelow(d, cmp.Or(authors[i].Org, authors[i].Domain)) {
			return true
		}
	}
	return false
}

// failedOfResults returns the domains for which SPF failed. The HELO identity is
// asked for apart, and is left out beside MAIL FROM.
func failedOfResults(body string) (domains []string) {
	field, err := authres.Parse(body)
	if err != nil {
		return nil
	}
	for _, r := range field.Results {
		if r.Method != "spf" || r.Value != "fail" {
			continue
		}
		from := r.Get("smtp", "mailfrom")
		if from == "" {
			from = r.Get("smtp", "helo")
		}
		domains = append(domains, domainOf(from))
	}
	return domains
}

// failedOfReceivedSPF returns the domain for which SPF failed, if it says so.
func failedOfReceivedSPF(body string) []string {
	if len(body) > maxReceivedSPF {
		return nil
	}
	words := strings.FieldsFunc(withoutComments(body), func(c rune) bool { return c == ';' || c == ' ' || c == '\t' || c == '\r' || c == '\n' })
	if len(words) == 0 || !strings.EqualFold(words[0], "fail") {
		return nil
	}
	values := make(map[string]string)
	for _, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			values[strings.ToLower(key)] = value
		}
	}
	from := values["envelope-from"]
	if from == "" || strings.EqualFold(values["identity"], "helo") {
		from = values["helo"]
	}
	return []string{domainOf(from)}
}

// domainOf is what stands behind the last "@" of an address, or all of a domain.
func domainOf(address string) string {
	address = strings.Trim(address, `"<>`)
	return address[strings.LastIndexByte(address, '@')+1:]
}

// withoutComments takes out what stands in parentheses, nested ones too.
func withoutComments(s string) string {
	var b strings.Builder
	depth := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}
