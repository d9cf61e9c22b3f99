package casefile

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dmarcgate/config"
)

// Keys returns a public key as p= has it, by the name and the form, which may be
// empty, of a placeholder such as {key:rsa:pkcs1}.
type Keys func(name, form string) (string, error)

// Read reads the text of a case. Where the text says nothing of a message, it is
// one of the domain bank.example, which wants mail rejected that is not its own.
func Read(text string, keys Keys) (*Case, error) {
	sections, err := readSections(text, keys)
	if err != nil {
		return nil, err
	}
	c := &Case{Proves: strings.TrimSpace(sections[""]), Sections: sections, Envelope: make(map[string][]string)}
	for line := range strings.Lines(sections["envelope"]) {
		key, value, _ := strings.Cut(strings.Trim(line, " \n"), " ")
		if !slices.Contains(envelopeKeys, key) {
			return nil, fmt.Errorf("unknown envelope line %q", line)
		}
		c.Envelope[key] = append(c.Envelope[key], strings.Trim(value, " "))
	}
	delete(sections, "")
	delete(sections, "envelope")
	c.fill()
	return c, nil
}

// fill adds what most cases have in common.
func (c *Case) fill() {
	if _, ok := c.Sections["message"]; ok {
		return
	}
	c.Sections["message"] = defaultMessage
	if !strings.Contains(c.Sections["zone"], "_dmarc.bank.example") {
		c.Sections["zone"] += defaultPolicy
	}
}

// sectionTitle is the line before a section.
var sectionTitle = regexp.MustCompile(`^-- (\S+)( escaped)? --\n$`)

// readSections returns the text of each section with its escapes and placeholders
// replaced; that before the first has no name.
func readSections(text string, keys Keys) (map[string]string, error) {
	sections, escaped := make(map[string]string), make(map[string]bool)
	section := ""
	for line := range strings.Lines(text) {
		title := sectionTitle.FindStringSubmatch(line)
		if title == nil {
			sections[section] += line
			continue
		}
		if section = title[1]; !slices.Contains(sectionNames, section) {
			return nil, fmt.Errorf("unknown section %q", section)
		}
		sections[section], escaped[section] = sections[section]+"", title[2] != ""
	}
	for name, text := range sections {
		var err error
		if escaped[name] {
			if text, err = unescape(text); err != nil {
				return nil, err
			}
		}
		if sections[name], err = expand(text, keys); err != nil {
			return nil, err
		}
	}
	return sections, nil
}

// quotes puts a backslash before quotes that have none.
var quotes = strings.NewReplacer(`\\`, `\\`, `\"`, `\"`, `"`, `\"`)

// unescape reads \r, \n, \t, \xHH and the other escapes of Go.
func unescape(text string) (string, error) {
	var out strings.Builder
	for line := range strings.Lines(text) {
		body := strings.TrimSuffix(line, "\n")
		plain, err := strconv.Unquote(`"` + quotes.Replace(body) + `"`)
		if err != nil {
			return "", fmt.Errorf("line %q: %w", body, err)
		}
		out.WriteString(plain + line[len(body):])
	}
	return out.String(), nil
}

// The placeholders of a section: {host}, {text*N}, {key:NAME} or {key:NAME:FORM},
// {now}, {now-1h}.
var (
	repeated  = regexp.MustCompile(`\{([^{}*]+)\*(\d+)\}`)
	publicKey = regexp.MustCompile(`\{key:([a-z0-9]+)(?::([a-z0-9]+))?\}`)
	clock     = regexp.MustCompile(`\{now([+-][0-9hms]+)?\}`)
)

// maxExpanded is how large a section may become: our limit, far above that of any
// message.
const maxExpanded = 256 << 20

// expand replaces placeholders.
func expand(text string, keys Keys) (string, error) {
	if strings.Contains(text, "{host}") {
		host, err := hostName()
		if err != nil {
			return "", err
		}
		text = strings.ReplaceAll(text, "{host}", host)
	}
	var failed error
	replace := func(re *regexp.Regexp, by func(m []string) (string, error)) {
		text = re.ReplaceAllStringFunc(text, func(s string) string {
			out, err := by(re.FindStringSubmatch(s))
			if err != nil {
				failed = cmp.Or(failed, fmt.Errorf("%s: %w", s, err))
			}
			return out
		})
	}
	room := maxExpanded
	replace(repeated, func(m []string) (string, error) {
		n, err := strconv.Atoi(m[2])
		if err != nil || n > room/len(m[1]) {
			return "", errors.New("more than a section may have")
		}
		room -= n * len(m[1])
		return strings.Repeat(m[1], n), nil
	})
	replace(publicKey, func(m []string) (string, error) {
		if keys == nil {
			return "", errors.New("there are no keys here")
		}
		return keys(m[1], m[2])
	})
	replace(clock, func(m []string) (string, error) {
		d, err := time.ParseDuration(cmp.Or(m[1], "0s"))
		return strconv.FormatInt(time.Now().Add(d).Unix(), 10), err
	})
	return text, failed
}

// hostName is what the daemon calls this host.
func hostName() (string, error) {
	cfg, err := config.Parse("host", []byte("[[listener]]\nname = \"a\"\naddress = \"unix:/a\"\nprofile = \"strict\"\n"))
	if err != nil {
		return "", err
	}
	return cfg.HostName(), nil
}
