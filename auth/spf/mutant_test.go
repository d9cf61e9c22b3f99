package spf

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/suites"
)

// A mutant is a case of a corpus with one of its records changed.

// pieces are what the generator puts into records: terms, and parts of terms.
var pieces = []string{
	"all", "-all", "?all", "a", "a/24", "a//64", "a/24//64", "mx", "mx/0", "ptr", "a:e.example.com", "mx:e3.example.com", "include:e1.example.com", "exists:%{l}.%{d}",
	"exists:%{ir}.%{v}.%{d2}", "a:%{p}.example.com", "redirect=e1.example.com", "exp=exp1.example.com", "x=%{c}", "ip4:1.2.3.0/24", "ip4:1.2.3.4", "ip6:::ffff:1.2.3.4", "ip6:2001:db8::/32",
	"a:no.such.example.com", "a:%{S}.example.com", "a:%{d1r-}.example.com.", "ip4:1.2.3.4/032", "a:1.2.3.4", "a:x/y.example.com", "a:x..example.com", "redirect=%{o}",
	"a:%{d99999999999999999999}.example.com", "a:%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.%{dr}.example.com", "mx:%{h}", "ptr:%{d2}", "include:%{d}",
}

const letters = " :/.%{}=-+~?_0123456789abdilmoprsvxADIS@\t\x7f\x80"

// mutate changes a record in one or a few places.
func mutate(rng *rand.Rand, record string) string {
	for range 1 + rng.IntN(3) {
		if rng.IntN(8) < 5 {
			record = mutateTerm(rng, record)
		} else {
			record = mutateByte(rng, record)
		}
	}
	return record
}

// mutateTerm adds, removes, doubles or moves a term, or changes its qualifier.
func mutateTerm(rng *rand.Rand, record string) string {
	terms := strings.Split(record, " ")
	at := 1 + rng.IntN(len(terms)) // never the version
	if at == len(terms) || terms[at] == "" {
		return strings.Join(append(terms, pieces[rng.IntN(len(pieces))]), " ")
	}
	switch rng.IntN(5) {
	case 0:
		terms = slices.Insert(terms, at, pieces[rng.IntN(len(pieces))])
	case 1:
		terms = slices.Delete(terms, at, at+1)
	case 2:
		terms = slices.Insert(terms, at, terms[at])
	case 3:
		rng.Shuffle(len(terms)-1, func(i, j int) { terms[1+i], terms[1+j] = terms[1+j], terms[1+i] })
	case 4:
		terms[at] = "+-~?"[rng.IntN(4):][:1] + strings.TrimLeft(terms[at], "+-~?")
	}
	return strings.Join(terms, " ")
}

// mutateByte changes a byte, or makes the record one longer or shorter.
func mutateByte(rng *rand.Rand, record string) string {
	at := len(version) + rng.IntN(len(record)-len(version)+1)
	rest := record[at:]
	if rng.IntN(3) > 0 && rest != "" {
		rest = rest[1:]
	}
	letter := rng.IntN(len(letters) + 10)
	return record[:at] + letters[min(letter, len(letters)):min(letter+1, len(letters))] + rest
}

// trial is a case, or a mutant of one.
type trial struct {
	name   string
	record string // the mutated one
	zone   suiteZone
	query  Query
}

// otherClients are those of some mutants.
var otherClients = addrs("1.2.3.4", "1.2.3.5", "192.0.2.1", "::ffff:1.2.3.4", "2001:db8::1", "cafe:babe::1")

// trialOf changes one record of a case.
func trialOf(rng *rand.Rand, c suiteCase) trial {
	tr := trial{name: c.name, zone: c.zone, query: c.query()}
	if rng.IntN(4) == 0 {
		tr.query.IP = otherClients[rng.IntN(len(otherClients))]
	}
	owners := slices.Sorted(maps.Keys(c.zone))
	rng.Shuffle(len(owners), func(i, j int) { owners[i], owners[j] = owners[j], owners[i] })
	// The domain of the sender in most mutants: others are seldom queried for.
	if rng.IntN(4) > 0 {
		owners = append([]string{strings.ToLower(tr.query.Domain)}, owners...)
	}
	for _, owner := range owners {
		for i, r := range c.zone[owner] {
			text := strings.Join(r.data, "")
			if r.kind != "SPF" && r.kind != "TXT" || !isRecord(text) {
				continue
			}
			tr.record = mutate(rng, text)
			tr.zone = maps.Clone(c.zone)
			tr.zone[owner] = slices.Clone(c.zone[owner])
			tr.zone[owner][i] = suiteRecord{r.kind, []string{tr.record}}
			return tr
		}
	}
	return tr
}

// trials are the cases and mutants of them, the same in every run.
func trials(cases []suiteCase, mutants int) []trial {
	rng := rand.New(rand.NewPCG(7208, 8601))
	var out []trial
	for _, c := range cases {
		out = append(out, trial{c.name, "", c.zone, c.query()})
		for range mutants {
			out = append(out, trialOf(rng, c))
		}
	}
	return out
}

// ownSuite is a corpus of ours, in the form of the RFC's. Its first cases are
// one for each entry of explanations.
const ownSuite = `
description: what implementations do differently, and what all of them do
tests:
  lazy:
    helo: mx.sender.example
    host: "192.0.2.1"
    mailfrom: a@lazy.example
  slash:
    helo: mx.sender.example
    host: "192.0.2.1"
    mailfrom: a@slash.example
  mapped:
    helo: mx.sender.example
    host: "192.0.2.1"
    mailfrom: a@mapped.example
  names:
    helo: mx.sender.example
    host: "192.0.2.1"
    mailfrom: a@names.example
  nowhere:
    helo: mx.sender.example
    host: "192.0.2.1"
    mailfrom: a@nowhere.example
  family:
    helo: mx.sender.example
    host: "2001:db8::1"
    mailfrom: a@family.example
  hosts:
    helo: mx.sender.example
    host: "2001:db8::1"
    mailfrom: a@hosts.example
  networks:
    helo: mx.sender.example
    host: "192.0.2.77"
    mailfrom: a@networks.example
  networks6:
    helo: mx.sender.example
    host: "2001:db8::77"
    mailfrom: a@networks.example
  many:
    helo: mx.sender.example
    host: "192.0.2.1"
    mailfrom: a@many.example
  twice:
    helo: mx.sender.example
    host: "192.0.2.99"
    mailfrom: a@twice.example
  chain:
    helo: mx.sender.example
    host: "192.0.2.1"
    mailfrom: a@chain.example
  macros:
    helo: mx.sender.example
    host: "192.0.2.1"
    mailfrom: x.y-z@macros.example
  pointer:
    helo: mx.sender.example
    host: "192.0.2.1"
    mailfrom: a@pointer.example
  down:
    helo: mx.sender.example
    host: "192.0.2.1"
    mailfrom: a@down.example
zonedata:
  lazy.example:
    - SPF: v=spf1 ip4:192.0.2.0/24 nonsense -all
  slash.example:
    - SPF: v=spf1 a:x/y.slash.example -all
  x/y.slash.example:
    - A: 192.0.2.1
  mapped.example:
    - SPF: v=spf1 ip6:::ffff:192.0.2.1 -all
  names.example:
    - SPF: v=spf1 exists:%{p}.names.example -all
  mail.pointer.example.names.example:
    - A: 127.0.0.2
  nowhere.example:
    - SPF: v=spf1 a:a..example a:b..example a:c..example -all
  family.example:
    - SPF: v=spf1 a:four.example a:four.example a:four.example -all
  four.example:
    - A: 192.0.2.4
  hosts.example:
    - SPF: v=spf1 mx mx mx -all
    - MX: [1, four.example]
  networks.example:
    - SPF: v=spf1 a/24//64 -mx/16//48 ~ip4:192.0.2.0/28 ?ip6:2001:db8::/120 -all
    - A: 192.0.2.1
    - AAAA: 2001:db8::1
    - MX: [1, four.example]
  many.example:
    - SPF: v=spf1 a:%{d99999999999999999999} -all
    - A: 192.0.2.1
  twice.example:
    - SPF: v=spf1 ptr ptr ptr -all
  chain.example:
    - SPF: v=spf1 include:soft.example include:networks.example redirect=%{d1r}.example
  soft.example:
    - SPF: v=spf1 ~all
  example.example:
    - SPF: v=spf1 ?all
  macros.example:
    - SPF: v=spf1 exists:%{ir}.%{v}.%{d2} exists:%{l1r-}.%{h}.%{o} exists:%{S}.%{lr.-}.%{d} -all
  z.y.x.macros.example:
    - A: 127.0.0.2
  pointer.example:
    - SPF: v=spf1 ptr -all exp=%{i}.pointer.example
  mail.pointer.example:
    - A: 192.0.2.1
  1.2.0.192.in-addr.arpa:
    - PTR: mail.pointer.example
  down.example:
    - SPF: v=spf1 a:lame.example -all
  lame.example:
    - TIMEOUT
`

// readCases reads a corpus in the form of the RFC's suite.
func readCases(t *testing.T, text string) []suiteCase {
	docs, err := suites.YAML(text)
	if err != nil {
		t.Fatal(err)
	}
	var cases []suiteCase
	for _, doc := range docs {
		zone := readZone(doc.Get("zonedata"))
		tests := doc.Get("tests")
		for i, name := range tests.Keys {
			cases = append(cases, suiteCase{name, tests.Items[i], zone})
		}
	}
	return cases
}
