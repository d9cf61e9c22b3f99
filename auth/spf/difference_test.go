package spf

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// explanation is why another implementation may answer otherwise. It changes
// the records, or the DNS, that the other one sees to what the section says
// they mean; a difference that is gone then is explained, and only then.
type explanation struct {
	section string // of RFC 7208, which decides it
	why     string
	records func(owner, record string, tr trial) string
	dns     func(o forOracle, tr trial) queried
}

// queried is the DNS as the other implementation asks for it.
type queried interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

var explanations = []explanation{
	{"4.6", "a syntax error anywhere in a record is an error, whatever stands before it; the grammar of Section 12 says what is one", onlyGrammar, nil},
	{"7.1", "a \"/\" may stand in a domain-spec", withoutSlashes, nil},
	{"5", "an IPv4 client is not in an ip6 network, though it holds its address in IPv6 form", withoutMapped, nil},
	{"7.3", "the macro p is the validated name of the client; Section 4.6.4 counts it", withNames, nil},
	{"7.1", "a number of parts may have any number of digits", shortNumbers, nil},
	{"4.6.4", "terms that find nothing are counted, not queries: each ptr is one, though the client's names are queried for once", voidPTRs, nil},
	{"4.8", "what is no name of the DNS is not queried for, so it is no void lookup either (Section 4.6.4)", nil, func(o forOracle, _ trial) queried { return namesOnly{o} }},
	{"4.6.4", "only addresses of the client's family are queried for (Section 5); none is void, of mail hosts too", nil, func(o forOracle, tr trial) queried { return newFamily(o, tr) }},
}

// onlyGrammar puts an error where a record has one.
func onlyGrammar(_, record string, _ trial) string {
	if !inGrammar(record) {
		return "v=spf1 error"
	}
	return record
}

func withoutSlashes(_, record string, _ trial) string {
	return eachTerm(record, func(t term) string {
		spec := macros.ReplaceAllStringFunc(t.domain, func(m string) string { return strings.ReplaceAll(m, "/", "+") })
		return strings.ReplaceAll(t.text, t.domain, strings.ReplaceAll(spec, "/", "|"))
	})
}

func withoutMapped(_, record string, _ trial) string {
	return eachTerm(record, func(t term) string {
		if t.network.Addr().Is4In6() {
			return ""
		}
		return t.text
	})
}

var (
	digits = regexp.MustCompile(`[0-9]{10,}`)
	macros = regexp.MustCompile(`%\{[^}]*\}`)
)

func shortNumbers(_, record string, _ trial) string {
	return eachTerm(record, func(t term) string { return digits.ReplaceAllString(t.text, "127") })
}

func voidPTRs(_, record string, tr trial) string {
	names, err := tr.zone.PTR(context.Background(), tr.query.IP.Unmap())
	if err != nil || len(names) > 0 {
		return record
	}
	return eachTerm(record, func(t term) string {
		if t.mechanism == mPTR {
			return "exists:no-such-name.invalid"
		}
		return t.text
	})
}

// withNames puts the client's name for the macro p, and before the first, unless
// the names were queried for already, a term that only counts.
func withNames(owner, record string, tr trial) string {
	c := checker{dns: tr.zone, ip: tr.query.IP.Unmap()}
	name := c.validName(context.Background(), owner)
	counted := false
	return eachTerm(record, func(t term) string {
		count := ""
		if uses(t.domain, "p") && !counted {
			count = "exists:" + countOnly + " "
		}
		counted = counted || count != "" || t.mechanism == mPTR
		if t.domain == "" {
			return t.text
		}
		return count + strings.Replace(t.text, t.domain, replaceP(t.domain, name), 1)
	})
}

// replaceP expands the macro p alone.
func replaceP(spec, name string) string {
	var b []byte
	for spec != "" {
		tok, rest, _ := nextToken(spec, lettersOfText)
		if tok.letter == 'p' {
			b = tok.expand(b, func(byte) string { return name })
		} else {
			b = append(b, spec[:len(spec)-len(rest)]...)
		}
		spec = rest
	}
	return string(b)
}

// countOnly is a name that exists, but not for the mechanism exists.
const countOnly = "counted.invalid"

// eachTerm rewrites the mechanisms of a record without errors.
func eachTerm(record string, rewrite func(t term) string) string {
	if _, f := parse(record); f != nil {
		return record
	}
	words := strings.Split(record, " ")
	for i, word := range words[1:] {
		if n := nameLength(word); word == "" || n > 0 && n < len(word) && word[n] == '=' {
			continue
		}
		if t, d := directive(word); d == "" && (t.domain != "" || t.network.IsValid() || t.mechanism == mPTR) {
			words[1+i] = rewrite(t)
		}
	}
	return strings.Join(words, " ")
}

// namesOnly has something that matches nothing where the name is none.
type namesOnly struct{ forOracle }

func (o namesOnly) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	if !isName(strings.TrimSuffix(name, ".")) {
		return []net.IPAddr{{IP: net.IPv6loopback}}, nil
	}
	return o.forOracle.LookupIPAddr(ctx, name)
}

func (o namesOnly) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	if !isName(strings.TrimSuffix(name, ".")) {
		return []*net.MX{{Host: name}}, nil
	}
	return o.forOracle.LookupMX(ctx, name)
}

// family has the addresses that we ask for: those of the client's family, and
// for exists those of IPv4.
type family struct {
	forOracle
	four    bool
	queried map[string]bool // type and name, by us
}

func newFamily(o forOracle, tr trial) family {
	log := &logged{Resolver: tr.zone, queried: make(map[string]bool)}
	Check(context.Background(), log, tr.query)
	return family{o, tr.query.IP.Unmap().Is4(), log.queried}
}

func (f family) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	found, err := f.forOracle.LookupIPAddr(ctx, name)
	if err != nil {
		return found, err
	}
	key := strings.ToLower(strings.TrimSuffix(name, "."))
	four, six := f.queried["A "+key], f.queried["AAAA "+key]
	if !four && !six {
		four, six = f.four, !f.four
	}
	found = slices.DeleteFunc(found, func(a net.IPAddr) bool {
		is4 := a.IP.To4() != nil
		return is4 && !four || !is4 && !six
	})
	return answer(found, nil, name)
}

// LookupMX finds nothing if one of the hosts has nothing, so that it is void.
func (f family) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	hosts, err := f.forOracle.LookupMX(ctx, name)
	for _, h := range hosts {
		if addrs, e := f.LookupIPAddr(ctx, h.Host); e != nil && len(addrs) == 0 && isName(strings.TrimSuffix(h.Host, ".")) {
			return nil, e
		}
	}
	return hosts, err
}

// logged remembers which addresses were queried for.
type logged struct {
	Resolver
	queried map[string]bool
}

func (l *logged) A(ctx context.Context, name string) ([]netip.Addr, error) {
	l.queried["A "+strings.ToLower(name)] = true
	return l.Resolver.A(ctx, name)
}

func (l *logged) AAAA(ctx context.Context, name string) ([]netip.Addr, error) {
	l.queried["AAAA "+strings.ToLower(name)] = true
	return l.Resolver.AAAA(ctx, name)
}

// rewrite changes the records of a zone, and the names of which records have a
// "/" with them. It reports whether there was anything to change.
func (e explanation) rewrite(zone suiteZone, tr trial) (changed bool) {
	for owner, records := range zone {
		zone[owner] = slices.Clone(records)
		for i, r := range records {
			text := strings.Join(r.data, "")
			if r.kind != "SPF" && r.kind != "TXT" || !isRecord(text) {
				continue
			}
			if now := e.records(owner, text, tr); now != text {
				zone[owner][i], changed = suiteRecord{r.kind, []string{now}}, true
			}
		}
	}
	for owner, records := range maps.Clone(zone) {
		if changed && strings.Contains(owner, "/") {
			zone[strings.ReplaceAll(owner, "/", "|")] = records
		}
	}
	return changed
}

// apply returns what the other implementation says when it sees things as these
// explanations want it, and whether they change anything.
func apply(tr trial, list ...explanation) (got Status, changed bool) {
	zone := maps.Clone(tr.zone)
	zone[countOnly] = []suiteRecord{{"AAAA", []string{"::1"}}}
	for _, e := range list {
		if e.records != nil && e.rewrite(zone, tr) {
			changed = true
		}
	}
	var dns queried = forOracle{zone}
	for _, e := range list {
		if e.dns != nil {
			dns, changed = e.dns(forOracle{zone}, tr), true
		}
	}
	got, _ = askThrough(dns, tr.query)
	return got, changed
}

// explain returns the entries that explain why the other implementation does
// not say what we say; none if nothing does.
func explain(tr trial, ours Status) (used []int) {
	for i, e := range explanations {
		if got, changed := apply(tr, e); changed && got == ours {
			return []int{i}
		}
	}
	for i, e := range explanations {
		for j := i + 1; j < len(explanations); j++ {
			if got, _ := apply(tr, e, explanations[j]); got == ours {
				return []int{i, j}
			}
		}
	}
	return nil
}

// No difference without an entry that names the section of the RFC that decides
// it, and no entry that explains nothing.
func TestCheckMatchesReferenceForMutants(t *testing.T) {
	used := make(map[int]int)
	t.Run("corpus of ours", func(t *testing.T) { compareMutants(t, readCases(t, ownSuite), 100, used) })
	for i, e := range explanations {
		if used[i] == 0 {
			t.Errorf("Section %s, %q: explains no difference any more", e.section, e.why)
		}
	}
	t.Run("suite of the RFC", func(t *testing.T) { compareMutants(t, readSuite(t), 20, used) })
}

func compareMutants(t *testing.T, cases []suiteCase, mutants int, used map[int]int) {
	differ := 0
	list := trials(cases, mutants)
	for _, tr := range list {
		ours := Check(t.Context(), tr.zone, tr.query)
		theirs, err := askOracle(tr.zone, tr.query)
		if theirs == ours.Status {
			continue
		}
		differ++
		why := explain(tr, ours.Status)
		if why == nil {
			t.Errorf("%s with %q from %v: Check() = %+v; another implementation says %v, %v", tr.name, tr.record, tr.query.IP, ours, theirs, err)
		}
		for _, i := range why {
			used[i]++
		}
	}
	t.Logf("%d cases and mutants, %d answered differently; by entry: %v", len(list), differ, used)
}
