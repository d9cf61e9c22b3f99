package lintsound

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/policy"
)

// zoneOf is the DNS under which the facts of a message come out as they are given. No
// answer is kept: the next message has another.
func (p *player) zoneOf(g *policy.Given) string {
	lines := []string{"!any", "!negttl 0"}
	add := func(name, rest string) { lines = append(lines, name+". 0 "+rest) }
	for _, name := range append(names, "google.com") {
		add(name, "A 192.0.2.200")
	}
	for _, author := range g.Author {
		place, record := cmp.Or(g.PolicyDomain, author), "v=DMARC1; p="+g.Policy
		switch {
		case g.Result == "permerror":
			record = "v=DMARC1; p=unreadable; sp=unreadable"
		case g.Policy == "":
			continue
		}
		add("_dmarc."+place, fmt.Sprintf("TXT %q", record))
	}
	checked := cmp.Or(g.MailFrom, slices.Concat(g.Author, []string{"author.example"})[0])
	if g.NullPath {
		checked = g.Helo
	}
	if record, ok := spfRecords[g.SPF]; ok {
		add(checked, fmt.Sprintf("TXT %q", record))
	}
	for _, name := range names {
		zone := strings.Fields(p.key.Zone("s", name))
		add("s._domainkey."+name, strings.Join(zone[1:], " "))
	}
	return strings.Join(lines, "\n")
}

var spfRecords = map[string]string{
	"pass": "v=spf1 +all", "fail": "v=spf1 ip4:192.0.2.254 -all", "softfail": "v=spf1 ~all", "neutral": "v=spf1 ?all", "permerror": "v=spf1 nonsense -all",
}

// fromFields are From fields that give no author domain.
var fromFields = map[policy.From]string{
	policy.FromMissing: "", policy.FromSeveralFields: "From: a@bank.example\r\nFrom: a@bank.example\r\n", policy.FromEmptyGroup: "From: nobody:;\r\n", policy.FromUnparsable: "From: @@\r\n",
}

// playable reports whether the message can be made with what a name server and a
// client of a milter have: no history, no header beyond the limits, and no lookup that
// fails, which the daemon remembers for a second at least.
func playable(c *class, a arranged) bool {
	_, known := fromFields[c.from]
	noAuthor := len(c.authors) == 0
	return c.history == 0 && c.result != "temperror" && a.spf != "temperror" && (!noAuthor || known && len(a.dkim)+len(a.arc) == 0 && !a.earlier)
}

// text is the message with its signatures and seals.
func (p *player) text(g *policy.Given) ([]byte, error) {
	var authors []string
	for _, d := range g.Author {
		authors = append(authors, "a@"+d)
	}
	from := "From: " + strings.Join(authors, ", ") + "\r\n"
	switch {
	case len(g.Author) == 0:
		from = fromFields[g.FromField]
	case g.FromField == policy.FromSeveralMailboxes:
		from = "From: a@" + g.Author[0] + ", b@" + g.Author[0] + "\r\n"
	}
	head := from + "To: u@corp.example\r\nSubject: hello\r\nDate: Mon, 30 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@bank.example>\r\n"
	if g.ListID != "" {
		head += "List-Id: <l." + g.ListID + ">\r\n"
	} else if g.ListHeaders {
		head += "List-Unsubscribe: <mailto:x@y.example>\r\n"
	}
	if g.Automatic {
		head += "Auto-Submitted: auto-replied\r\n"
	}
	if g.EarlierSPFFail {
		head += "Received-SPF: fail (no) client-ip=192.0.2.9; envelope-from=a@" + g.Author[0] + "; helo=x.example\r\n"
	}
	message := []byte(head + "\r\nas it was signed\r\n")
	for _, step := range []string{"body", "pass"} {
		for _, s := range g.DKIM {
			result, domain, _ := strings.Cut(s, ":")
			if result != step {
				continue
			}
			var err error
			if message, err = p.key.Sign(message, domain, "s"); err != nil {
				return nil, err
			}
		}
		message = bytes.Replace(message, []byte("as it was signed"), []byte("another body"), 1)
	}
	for _, domain := range g.ARC {
		results := "mx." + domain
		for _, author := range g.Author {
			results += "; dmarc=pass header.from=" + author
		}
		var err error
		if message, err = p.key.Seal(message, dkimtest.Hop{Domain: domain, Selector: "s", Results: results}); err != nil {
			return nil, err
		}
	}
	return message, nil
}
